"""Named SELECTs and the mapping of their rows to frozen values."""

from __future__ import annotations

import dataclasses
import json
import operator
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

from relay.core.values import frozen

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Tx: TypeAlias = sqlite3.Connection
Row: TypeAlias = Sequence[Any]
DatabaseFault = sqlite3.Error  # what an op meets when the store itself fails: never to be swallowed
# what the values of an op cause, each time anew: no fault of the store
ValueFault = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError)
SQLITE_VERSION = sqlite3.sqlite_version_info


@frozen
class Query(Generic[T_co]):
    """One SELECT, written once for ops and for the reading side.

    Attributes:
        sql: with named parameters (`:name`).
        row: makes the value of one row.
    """

    sql: str
    row: Callable[[Row], T_co]

    def all(self, tx: Tx, /, **params: Any) -> list[T_co]:
        """Every row, inside an op."""
        return [self.row(found) for found in tx.execute(self.sql, params)]

    def one(self, tx: Tx, /, **params: Any) -> T_co | None:
        """The first row or None, inside an op."""
        found = tx.execute(self.sql, params).fetchone()
        return None if found is None else self.row(found)


def columns(kind: type) -> str:
    """The columns of a row class, in the order of its fields, for a SELECT."""
    return ", ".join(f'"{item.name}"' for item in dataclasses.fields(kind))


def mapper(kind: Callable[..., T], /, **decoders: Callable[[Any], Any]) -> Callable[[Row], T]:
    """A row mapper for a dataclass whose fields stand in the order of the columns.

    Args:
        kind: the dataclass.
        decoders: by field name, what turns the stored value into the field's; None stays None.
    """
    if not decoders:
        return lambda row: kind(*row)
    names = [item.name for item in dataclasses.fields(kind)]  # type: ignore[arg-type]
    places = [(names.index(name), decode) for name, decode in decoders.items()]

    def mapped(row: Row) -> T:
        values = list(row)
        for place, decode in places:
            if values[place] is not None:
                values[place] = decode(values[place])
        return kind(*values)

    return mapped


def first_column(row: Row) -> Any:
    """The mapper of a SELECT with one column."""
    return row[0]


as_json = json.JSONEncoder(separators=(",", ":")).encode  # made once: `json.dumps` makes one for each text


def to_json(value: Any) -> str | None:
    """The stored form of a JSON column; None stays NULL."""
    return None if value is None else as_json(value)


def values_of(kind: Any) -> Callable[[Any], dict[str, Any]]:
    """What makes a dict of all fields of a dataclass's values, in one go, for named parameters."""
    names = tuple(item.name for item in dataclasses.fields(kind))
    read = operator.attrgetter(*names)
    return lambda value: dict(zip(names, read(value), strict=True))


def insertion(table: str, names: Iterable[str]) -> str:
    """An INSERT of these columns with named parameters.

    Args:
        table: the table.
        names: the columns; never a text from outside.
    """
    known = tuple(names)
    listed = ", ".join(f'"{name}"' for name in known)
    marks = ", ".join(f":{name}" for name in known)
    return f"INSERT INTO {table} ({listed}) VALUES ({marks})"

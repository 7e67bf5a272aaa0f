"""What this broker asked others to do with its spawns, and what came here before the spawn it is about."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from relay.core.ids import BrokerId
from relay.core.values import frozen
from relay.store.query import Query, Tx, first_column, mapper, to_json

MOST_EARLY, MOST_EARLY_LETTERS = 1_000, 1024 * 1024  # of one origin


@frozen
class Steer:
    """One request to another broker.

    Attributes:
        operation: the client's, and the answer's.
        spawn: what it is about; empty for the whole queue.
        verb: what is to be done.
        content: with what.
        at: when it was asked, milliseconds.
        error: None before there is an answer, `{}` for done, else the error.
    """

    operation: str
    spawn: str
    verb: str
    content: dict[str, Any]
    at: int
    error: dict[str, Any] | None


_row = mapper(Steer, content=json.loads, error=json.loads)
_SELECT = "SELECT operation, spawn, verb, content, at, error FROM steers"
BY_OPERATION: Query[Steer] = Query(f"{_SELECT} WHERE operation = :operation", _row)
UNANSWERED: Query[Steer] = Query(f"{_SELECT} WHERE spawn = :spawn AND error IS NULL", _row)
OF_SPAWN: Query[Steer] = Query(f"{_SELECT} WHERE spawn = :spawn ORDER BY at, operation", _row)


def ask(tx: Tx, steer: Steer) -> None:
    """Remember what was asked for."""
    values = (steer.operation, steer.spawn, steer.verb, to_json(steer.content), steer.at)
    tx.execute("INSERT INTO steers (operation, spawn, verb, content, at) VALUES (?, ?, ?, ?, ?)", values)


def answer(tx: Tx, operation: str, error: dict[str, Any] | None) -> bool:
    """Remember the answer; whether it is the first.

    Args:
        operation: which request.
        error: why it was not done; None for done.
    """
    sql = "UPDATE steers SET error = ? WHERE operation = ? AND error IS NULL"
    return tx.execute(sql, (to_json(error or {}), operation)).rowcount > 0


_LAST_ORDER: Query[int | None] = Query(
    "SELECT max(n) FROM (SELECT json_extract(content, '$.order') AS n FROM steers WHERE spawn = :spawn"
    " UNION ALL SELECT n FROM steer_orders WHERE spawn = :spawn AND asker = :own)",
    first_column,
)
_ORDERS: Query[tuple[str, int]] = Query(
    "SELECT thing, n FROM steer_orders WHERE spawn = :spawn AND asker = :asker", lambda row: (row[0], row[1])
)


def next_order(tx: Tx, own: BrokerId, spawn: str, now: int) -> int:
    """The order of a new request: later than all that this broker asked, or told, of that spawn.

    Args:
        own: this broker.
        spawn: which; empty for what is not a spawn that is known here.
        now: milliseconds; what is forgotten, or was lost with a store that was restored, was asked before.
    """
    return max(now, 1 + (_LAST_ORDER.one(tx, spawn=spawn, own=own) or 0))


def orders(tx: Tx, spawn: str, asker: BrokerId) -> dict[str, int]:
    """Of each thing that an asker has set of a spawn the order of its latest request."""
    return dict(_ORDERS.all(tx, spawn=spawn, asker=asker))


def note_order(tx: Tx, spawn: str, asker: BrokerId, things: Iterable[str], n: int) -> None:
    """Remember that a request of this order has set these."""
    sql = "INSERT OR REPLACE INTO steer_orders VALUES (?, ?, ?, ?)"
    tx.executemany(sql, [(spawn, asker, thing, n) for thing in things])


def reopen(tx: Tx, operation: str) -> None:
    """Forget the answer to a request that is sent again: the one to come counts."""
    tx.execute("UPDATE steers SET error = NULL WHERE operation = ?", (operation,))


def purge(tx: Tx, before: int) -> None:
    """Forget what was asked of whole queues before a moment (milliseconds), and what came too early and never on."""
    tx.execute("DELETE FROM steers WHERE spawn = '' AND at < ?", (before,))
    tx.execute("DELETE FROM early_steers WHERE expires < ?", (before,))


@frozen
class Early:
    """One that came before its spawn."""

    operation: str
    content: dict[str, Any]


_EARLY: Query[Early] = Query(
    "SELECT operation, content FROM early_steers WHERE origin = :origin AND spawn = :spawn ORDER BY n",
    mapper(Early, content=json.loads),
)
_EARLY_SIZE: Query[tuple[int, int]] = Query(
    "SELECT count(*), coalesce(sum(length(content)), 0) FROM early_steers WHERE origin = :origin",
    lambda row: (row[0], row[1]),
)


def keep_early(tx: Tx, origin: BrokerId, spawn: str, early: Early, expires: int) -> bool:
    """Keep one until its spawn comes; False where its origin has too many.

    Args:
        expires: until when (milliseconds) the spawn may still come.
    """
    content = to_json(early.content) or ""
    count, letters = _EARLY_SIZE.one(tx, origin=origin) or (0, 0)
    if count >= MOST_EARLY or letters + len(content) > MOST_EARLY_LETTERS:
        return False
    sql = "INSERT INTO early_steers (origin, spawn, operation, content, expires) VALUES (?, ?, ?, ?, ?)"
    tx.execute(sql, (origin, spawn, early.operation, content, expires))
    return True


def take_early(tx: Tx, origin: BrokerId, spawn: str) -> list[Early]:
    """What came before this spawn, in order; it is not kept any more."""
    found = _EARLY.all(tx, origin=origin, spawn=spawn)
    if found:
        tx.execute("DELETE FROM early_steers WHERE origin = ? AND spawn = ?", (origin, spawn))
    return found

"""Attempts at a spawn on this machine, each with the folder of its shim."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any

from relay.core.values import frozen
from relay.store.query import Query, Tx, columns, first_column, mapper, to_json


class AttemptState(StrEnum):
    """How far an attempt got, as far as this store was told."""

    PREPARED = "prepared"
    STARTED = "started"
    ENDED = "ended"
    FENCED = "fenced"


OPEN = (AttemptState.PREPARED, AttemptState.STARTED)


@frozen
class Attempt:
    """One try. Times in milliseconds; `exit` is the shim's exit record, or None; `boot` as `prepare` has it."""

    spawn: str
    n: int
    folder: str
    state: AttemptState
    prepared: int
    started: int | None = None
    ended: int | None = None
    exit: dict[str, Any] | None = None
    boot: str | None = None


_row = mapper(Attempt, state=AttemptState, exit=json.loads)
_SELECT = f"SELECT {columns(Attempt)} FROM attempts"

OF_SPAWN: Query[Attempt] = Query(f"{_SELECT} WHERE spawn = :spawn ORDER BY n", _row)
NEWEST: Query[Attempt] = Query(f"{_SELECT} WHERE spawn = :spawn ORDER BY n DESC LIMIT 1", _row)


BOOT: Query[str | None] = Query("SELECT boot FROM attempts WHERE spawn = :spawn AND n = :n", first_column)


# how many were fenced since the last one that was not
FENCED_OF_LATE: Query[int] = Query(
    "SELECT count(*) FROM attempts WHERE spawn = :spawn AND state = 'fenced'"
    " AND n > coalesce((SELECT max(n) FROM attempts WHERE spawn = :spawn AND state <> 'fenced'), 0)",
    first_column,
)


# when the last but `skip` began of those that began since then for an origin: while it is that fresh, so many more are
STARTED_BEFORE: Query[int] = Query(
    "SELECT a.prepared FROM (SELECT id FROM spawns INDEXED BY spawns_live"
    " WHERE live = 1 AND target = :target AND origin = :origin"
    # of what has ended the end was learnt after the beginning
    " UNION ALL SELECT id FROM spawns INDEXED BY spawns_learnt"
    " WHERE live = 0 AND learnt > :since AND target = :target AND origin = :origin) AS s"
    # a moment to come is a clock's that was set back
    " CROSS JOIN attempts AS a ON a.spawn = s.id WHERE a.prepared > :since AND a.prepared <= :now"
    " AND a.state <> 'fenced'"
    " ORDER BY a.prepared DESC LIMIT 1 OFFSET :skip",
    first_column,
)


def prepare(tx: Tx, spawn: str, n: int, folder: str, now: int, boot: str | None = None) -> None:
    """Record an attempt before its shim is asked for.

    Args:
        n: from 1; a second attempt of one number is refused by the table (sqlite3.IntegrityError).
        folder: where its lock, record and log are.
        now: milliseconds.
        boot: which of this machine it is, where the attempt begins at once and its shim's promise may be lost with the
            power: in another boot it may have run, whatever its record says.
    """
    tx.execute(
        "INSERT INTO attempts (spawn, n, folder, state, prepared, boot) VALUES (?, ?, ?, 'prepared', ?, ?)",
        (spawn, n, folder, now, boot),
    )


def started(tx: Tx, spawn: str, n: int, now: int) -> bool:
    """The task is past its exec; whether the attempt was prepared until now."""
    sql = "UPDATE attempts SET state = 'started', started = ? WHERE spawn = ? AND n = ? AND state = 'prepared'"
    return tx.execute(sql, (now, spawn, n)).rowcount > 0


def ended(tx: Tx, spawn: str, n: int, now: int, exit_record: dict[str, Any] | None) -> bool:
    """The attempt is over; whether it was open until now.

    Args:
        exit_record: the shim's, or None where the attempt is lost.
    """
    return _finish(tx, spawn, n, AttemptState.ENDED, now, exit_record)


def fenced(tx: Tx, spawn: str, n: int, now: int) -> bool:
    """The attempt never started and never will; whether it was open until now."""
    return _finish(tx, spawn, n, AttemptState.FENCED, now, None)


def _finish(tx: Tx, spawn: str, n: int, state: AttemptState, now: int, record: dict[str, Any] | None) -> bool:
    sql = (
        "UPDATE attempts SET state = ?, ended = ?, exit = ?"
        " WHERE spawn = ? AND n = ? AND state IN ('prepared', 'started')"
    )
    return tx.execute(sql, (str(state), now, to_json(record), spawn, n)).rowcount > 0

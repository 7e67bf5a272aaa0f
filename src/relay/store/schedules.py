"""What runs again and again, at its target and at its origin; and a row for each due time that was acted on."""

from __future__ import annotations

import json
from typing import Any

from relay.core.ids import BrokerId
from relay.core.values import frozen
from relay.store.query import Query, Tx, columns, first_column, insertion, mapper, to_json

PURGE_AFTER_MS = 31 * 86_400_000


@frozen
class Schedule:
    """One schedule. Times in milliseconds.

    Attributes:
        state: `asked` (its target has not answered), `active`, `refused` or `removed`.
        created: what a period is counted from.
        since: since when it stands so.
        next: the next due time; elsewhere as its target last said.
        last, last_spawn: the latest run.
        runs, skipped: how many ran, how many did not because the one before still lived.
        ttl: of each run.
        error: why it was refused or removed.
        request: a `spawn` envelope's body, for each run.
    """

    id: str
    name: str
    origin: BrokerId
    target: BrokerId
    operation: str
    every: str
    state: str
    created: int
    since: int
    next: int | None
    last: int | None
    last_spawn: str | None
    runs: int
    skipped: int
    ttl: int
    error: dict[str, Any] | None
    request: dict[str, Any]


_row = mapper(Schedule, error=json.loads, request=json.loads)
_NAMES = columns(Schedule).replace('"', "").split(", ")
_SELECT = f"SELECT {columns(Schedule)} FROM schedules"
_LIVES = "state IN ('asked', 'active')"

BY_ID: Query[Schedule] = Query(f"{_SELECT} WHERE id = :id", _row)
_MEANT = "(name = :ref OR id >= :ref AND id < :ref || '~') AND (:target IS NULL OR target = :target)"
BY_PREFIX: Query[Schedule] = Query(
    f"{_SELECT} WHERE {_LIVES} AND {_MEANT} ORDER BY created LIMIT 20", _row
)
OVER: Query[Schedule] = Query(
    f"{_SELECT} WHERE NOT {_LIVES} AND {_MEANT} ORDER BY since DESC LIMIT 1", _row
)
LISTING: Query[Schedule] = Query(
    f"{_SELECT} WHERE :everything OR {_LIVES} OR state = 'refused' AND since > :recently"
    " ORDER BY created DESC LIMIT 1000",
    _row,
)
DUE: Query[Schedule] = Query(
    f"{_SELECT} WHERE state = 'active' AND target = :target AND next <= :now ORDER BY next LIMIT 100", _row
)
NEXT: Query[int | None] = Query(
    "SELECT min(next) FROM schedules WHERE state = 'active' AND target = :target", first_column
)
ACTED_ON: Query[int] = Query("SELECT 1 FROM schedule_runs WHERE schedule = :id AND due = :due", first_column)
SKIPPED_OF: Query[int] = Query("SELECT skipped FROM schedules WHERE id = :id", first_column)
NEXT_OF: Query[int | None] = Query("SELECT next FROM schedules WHERE id = :id", first_column)
LIVE_HERE: Query[Schedule] = Query(f"{_SELECT} WHERE target = :target AND {_LIVES}", _row)
LIVE_FROM: Query[int] = Query(
    f"SELECT count(*) FROM schedules WHERE target = :target AND origin = :origin AND {_LIVES}", first_column
)
NAMED: Query[Schedule] = Query(f"{_SELECT} WHERE name = :name AND target = :target AND {_LIVES}", _row)
_INSERT = insertion("schedules", _NAMES)


def add(tx: Tx, schedule: Schedule) -> None:
    """Keep a new schedule."""
    values = {name: getattr(schedule, name) for name in _NAMES}
    tx.execute(_INSERT, values | {"error": to_json(schedule.error), "request": to_json(schedule.request)})


def stand(tx: Tx, schedule: str, state: str, now: int, error: dict[str, Any] | None = None) -> None:
    """Say how a schedule stands.

    Args:
        state: as in `Schedule`.
        now: milliseconds.
        error: why it was refused or removed.
    """
    sql = "UPDATE schedules SET state = ?, since = ?, error = ? WHERE id = ?"
    tx.execute(sql, (state, now, to_json(error), schedule))


def due_next(tx: Tx, schedule: str, moment: int | None) -> None:
    """Say when it runs next (milliseconds)."""
    tx.execute("UPDATE schedules SET next = ? WHERE id = ?", (moment, schedule))


def count_from(tx: Tx, schedule: str, moment: int) -> None:
    """Say what its period is counted from (milliseconds)."""
    tx.execute("UPDATE schedules SET created = ? WHERE id = ?", (moment, schedule))


def act_on(tx: Tx, schedule: str, due: int, spawn: str | None) -> None:
    """A due time was acted on; a second row for it is refused by the table (sqlite3.IntegrityError).

    Args:
        due: the due time, milliseconds.
        spawn: the run, None where it was skipped.
    """
    tx.execute("INSERT INTO schedule_runs VALUES (?, ?, ?)", (schedule, due, spawn))
    if spawn is None:
        tx.execute("UPDATE schedules SET skipped = skipped + 1 WHERE id = ?", (schedule,))


def has_skipped(tx: Tx, schedule: str, times: int) -> None:
    """Its target says how many due times did not run."""
    tx.execute("UPDATE schedules SET skipped = ? WHERE id = ?", (times, schedule))


def ran(tx: Tx, schedule: str, at: int, spawn: str) -> None:
    """A run of a schedule came about; `at` in milliseconds. Runs may be told in any order."""
    tx.execute("UPDATE schedules SET runs = runs + 1 WHERE id = ?", (schedule,))
    sql = "UPDATE schedules SET last = ?, last_spawn = ? WHERE id = ? AND (last IS NULL OR last < ?)"
    tx.execute(sql, (at, spawn, schedule, at))


def purge(tx: Tx, now: int) -> None:
    """Forget due times of more than a month ago, and schedules that ended as long ago and have no run any more."""
    before = now - PURGE_AFTER_MS
    tx.execute("DELETE FROM schedule_runs WHERE due < ?", (before,))
    tx.execute(
        f"DELETE FROM schedules WHERE NOT {_LIVES} AND since < ?"
        " AND NOT EXISTS (SELECT 1 FROM spawns WHERE schedule = schedules.id)",
        (2 * before - now,),
    )

"""Spawns as they are kept, and the questions asked about them."""

from __future__ import annotations

import json
from typing import Any

from relay.core.agent_facts import TEST_LABEL
from relay.core.ids import BrokerId
from relay.core.states import TERMINAL, State
from relay.core.values import frozen
from relay.core.wishes import NONE, Wishes, wishes_from_content
from relay.store.query import Query, columns, first_column, mapper


@frozen
class SpawnRow:
    """One spawn as this broker knows it. Times in milliseconds.

    Attributes:
        id … operation: what was asked for; `cwd` as asked.
        state … since: where it stands, and since when and why.
        attempt, seq: the order of the target's word that says so; (0, 0) before the first.
        at: when the target said so, on its clock; None before its first word.
        ran_in: the directory as the target resolved it.
        first_word: when the first receipt or snapshot arrived here; None while it may still wait in the outbox.
        stop_requested: when a stop was asked for.
        wishes: how it is to be queued and run.
        priority: as asked, or as edited since: the higher one starts first.
        not_before: not to be started earlier: as asked, or the pause before another try.
        paused: since when it is kept from starting, or None.
        resolved: what a person said of its end, `{"as","notes","at","by"}`, or None.
        paused_by: who paused it.
        schedule: the schedule it is a run of, or None.
    """

    id: str
    name: str
    origin: BrokerId
    target: BrokerId
    agent: str
    task: str
    argv: tuple[str, ...]
    cwd: str | None
    mode: str
    model: str | None
    timeout_s: float | None
    labels: dict[str, str]
    requested_by: str
    chain: tuple[BrokerId, ...]
    created: int
    expires: int
    operation: str
    state: State
    reason: str
    since: int
    attempt: int
    seq: int
    at: int | None
    ran_in: str | None
    started: int | None
    ended: int | None
    exit_code: int | None
    signal: int | None
    first_word: int | None
    stop_requested: int | None
    needs: dict[str, Any] | None
    error: dict[str, Any] | None
    result: dict[str, Any] | None
    wishes: Wishes
    priority: int
    not_before: int | None
    paused: int | None
    resolved: dict[str, Any] | None
    paused_by: str | None
    schedule: str | None

    @property
    def order(self) -> tuple[int, int]:
        """What the target's words are compared by."""
        return (self.attempt, self.seq)


def _texts(stored: str) -> tuple[str, ...]:
    return () if stored == "[]" else tuple(json.loads(stored))


def _wishes(stored: str) -> Wishes:
    return NONE if stored == "{}" else wishes_from_content(json.loads(stored))


_row = mapper(
    SpawnRow,
    argv=_texts,
    labels=json.loads,
    chain=_texts,
    state=State,
    needs=json.loads,
    error=json.loads,
    result=json.loads,
    wishes=_wishes,
    resolved=json.loads,
)


def stands(row: SpawnRow, own: BrokerId) -> str:
    """`it is running`, and whose word that is where that is not this broker's, and more may have become of it."""
    is_known = row.target == own or row.state in (State.QUEUED, *TERMINAL)
    return f"it is {row.state}" + ("" if is_known else ", by the last word of its machine")


_SELECT = f"SELECT {columns(SpawnRow)} FROM spawns"
_IN_HAND = "state IN ('starting', 'running', 'needs_input')"


def spawn_query(rest: str) -> Query[SpawnRow]:
    """A question about spawns.

    Args:
        rest: what follows the SELECT of all their columns.
    """
    return Query(f"{_SELECT} {rest}", _row)


_query = spawn_query
BY_ID = _query("WHERE id = :id")
BY_PREFIX = _query("WHERE id >= :prefix AND id < :prefix || '~' ORDER BY id LIMIT 20")
LIVE_NAMED = _query("WHERE live = 1 AND name = :name AND (:target IS NULL OR target = :target) ORDER BY created DESC")
# the live ones of a name, or else the newest; more than one is for the caller to call ambiguous
BY_NAME = _query(
    "WHERE n IN (SELECT n FROM spawns WHERE live = 1 AND name = :name AND (:target IS NULL OR target = :target))"
    " OR n = (SELECT n FROM spawns WHERE live = 0 AND name = :name AND (:target IS NULL OR target = :target)"
    " AND NOT EXISTS (SELECT 1 FROM spawns WHERE live = 1 AND name = :name AND (:target IS NULL OR target = :target))"
    " ORDER BY created DESC, n DESC LIMIT 1) ORDER BY created DESC, n DESC"
)
# by order of arrival SQLite would go through all that ever was
_OF_THE_LIVE = "INDEXED BY spawns_live WHERE live = 1"
LIVE = _query(f"{_OF_THE_LIVE} ORDER BY created DESC, n DESC")
LIVE_IN = _query(f"{_OF_THE_LIVE} AND state IN (SELECT value FROM json_each(:states)) ORDER BY created DESC, n DESC")
WAITING = _query("WHERE live = 1 AND target = :target AND state = 'waiting' ORDER BY n")
_WAITS = "live = 1 AND target = :target AND state = 'waiting'"
# what waits for others and was worded last, or so many milliseconds before that, in order of arrival
WORDED_LAST: Query[str] = Query(
    f"SELECT id FROM spawns WHERE {_WAITS} AND origin <> :target"
    f" AND at >= (SELECT max(at) FROM spawns WHERE {_WAITS}) - :within ORDER BY n",
    first_column,
)
# what was tried did run: it is past the time in which it had to be started, and never "nothing ran"
_MAY_EXPIRE = (
    "live = 1 AND target = :target AND state IN ('held', 'waiting')"
    " AND (attempt = 0 OR id NOT IN (SELECT spawn FROM tries))"
)
EXPIRED_HERE = _query(f"WHERE {_MAY_EXPIRE} AND expires <= :now ORDER BY n")
NEXT_TO_EXPIRE: Query[int | None] = Query(
    f"SELECT min(expires) FROM spawns WHERE {_MAY_EXPIRE} AND expires > :now", first_column
)
# as in the index `spawns_tests`, which is used for nothing else
LAST_TEST = _query(
    f"INDEXED BY spawns_tests WHERE agent = :agent AND instr(labels, '\"{TEST_LABEL}\"') > 0"
    " AND target = :target AND live = 0 ORDER BY created DESC LIMIT 1"
)
HELD = _query("WHERE live = 1 AND target = :target AND state = 'held' ORDER BY n")
IN_HAND = _query(f"WHERE live = 1 AND target = :target AND {_IN_HAND} ORDER BY n")
# asked for elsewhere, or caused by what was, to run here, and not ended
FOR_OTHERS = _query("WHERE live = 1 AND target = :own AND (origin <> :own OR chain <> '[]') ORDER BY n")
# asked for here, to be started elsewhere, and not known to have ended
ELSEWHERE = _query(f"{_OF_THE_LIVE} AND origin = :origin AND target <> :origin ORDER BY n")
# never taken by any hop: what this origin may still end by itself once it expired
_UNSENT = f"{_OF_THE_LIVE} AND state = 'queued' AND first_word IS NULL"
UNSENT_EXPIRED = _query(f"{_UNSENT} AND expires <= :now ORDER BY n")
NEXT_UNSENT_TO_EXPIRE: Query[int | None] = Query(
    f"SELECT min(expires) FROM spawns {_UNSENT} AND expires > :now", first_column
)
# what ended badly and was asked for here; a person's word takes it off the list
FAILURES = _query(
    "WHERE n IN (SELECT n FROM spawns WHERE live = 0 AND origin = :origin"
    " AND state IN ('failed', 'timed_out', 'lost', 'rejected', 'expired')"
    " AND (resolved IS NOT NULL) = :resolved ORDER BY since DESC LIMIT :limit) ORDER BY since DESC"
)
# target: those it is to run; None for those of every broker
COUNTS: Query[tuple[State, int]] = Query(
    "SELECT state, count(*) FROM spawns WHERE live = 1 AND (:target IS NULL OR target = :target) GROUP BY state",
    lambda row: (State(row[0]), row[1]),
)
RUNNING_ON: Query[tuple[str, int]] = Query(
    "SELECT target, count(*) FROM spawns WHERE live = 1 AND state IN ('starting', 'running') GROUP BY target",
    lambda row: (row[0], row[1]),
)
IN_HAND_FROM: Query[int] = Query(
    f"SELECT count(*) FROM spawns WHERE live = 1 AND target = :target AND origin = :origin AND {_IN_HAND}", first_column
)
LIVE_FROM: Query[int] = Query(
    "SELECT count(*) FROM spawns WHERE live = 1 AND target = :target AND origin = :origin", first_column
)

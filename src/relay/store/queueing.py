"""The queue of this broker: what may start next, what each waits for, and the marks a person sets."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from relay.core.ids import BrokerId
from relay.core.spawning import SpawnRequest
from relay.core.states import State
from relay.core.values import frozen
from relay.core.wishes import After
from relay.store.query import Query, Tx, first_column, mapper, to_json
from relay.store.spawn_rows import SpawnRow, spawn_query
from relay.store.spawns import asked_values

_WAITS = "live = 1 AND target = :target AND state = 'waiting'"
# neither paused nor for later, and with nothing that it comes after
_NOTHING_ELSE = (
    "paused IS NULL AND (not_before IS NULL OR not_before <= :now)"
    " AND NOT EXISTS (SELECT 1 FROM predecessors p WHERE p.spawn = spawns.id AND p.met = 0)"
)
FIRST_PLACE = (2**31, 0)


@frozen
class Head:
    """What waits, without its text: there may be thousands."""

    id: str
    origin: BrokerId
    agent: str
    labels: dict[str, str]
    priority: int
    n: int
    paused: int | None
    not_before: int | None

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands in the queue, for the next page of `STARTABLE`."""
        return (self.priority, self.n)


def _labels(stored: str) -> dict[str, str]:
    found: dict[str, str] = {} if stored == "{}" else json.loads(stored)
    return found


_head = mapper(Head, labels=_labels)
_HEADS = "SELECT id, origin, agent, labels, priority, n, paused, not_before FROM spawns"
# what may start as far as the queue knows, after a place in it; agents, origins, labels: JSON lists of those that may
# not, the labels by the names of the slots that they lack
STARTABLE: Query[Head] = Query(
    f"{_HEADS} WHERE {_WAITS} AND {_NOTHING_ELSE}"
    " AND (priority < :priority OR (priority = :priority AND n > :n))"
    " AND agent NOT IN (SELECT value FROM json_each(:agents))"
    " AND origin NOT IN (SELECT value FROM json_each(:origins))"
    " AND (labels = '{}' OR :labels = '[]' OR NOT EXISTS (SELECT 1 FROM json_each(spawns.labels) l"
    " WHERE 'label:' || l.key IN (SELECT value FROM json_each(:labels))"
    " OR 'label:' || l.key || '=' || l.value IN (SELECT value FROM json_each(:labels))))"
    " ORDER BY priority DESC, n LIMIT :limit",
    _head,
)
QUEUE: Query[Head] = Query(f"{_HEADS} WHERE {_WAITS} ORDER BY priority DESC, n", _head)
# how many wait before a place in the queue and are kept from starting by a slot alone; origins: JSON list of those
# that their grants keep; agent, label: of these only those that need such a slot
AHEAD: Query[int] = Query(
    f"SELECT count(*) FROM spawns INDEXED BY spawns_waiting WHERE {_WAITS} AND {_NOTHING_ELSE}"
    " AND (priority > :priority OR (priority = :priority AND n < (SELECT n FROM spawns WHERE id = :spawn)))"
    " AND (:origins = '[]' OR origin NOT IN (SELECT value FROM json_each(:origins)))"
    " AND (:agent IS NULL OR agent = :agent) AND (:label IS NULL OR json_extract(labels, :label) IS NOT NULL)"
    " AND (:value IS NULL OR json_extract(labels, :label) = :value)",
    first_column,
)
ANY_WAITING: Query[int] = Query(f"SELECT 1 FROM spawns INDEXED BY spawns_waiting WHERE {_WAITS} LIMIT 1", first_column)
SORTS_IN_HAND: Query[tuple[str, dict[str, str]]] = Query(
    "SELECT agent, labels FROM spawns WHERE live = 1 AND target = :target"
    " AND state IN ('starting', 'running', 'needs_input')",
    lambda row: (row[0], _labels(row[1])),
)
IN_HAND_COUNT: Query[int] = Query(
    "SELECT count(*) FROM spawns WHERE live = 1 AND target = :target"
    " AND state IN ('starting', 'running', 'needs_input')",
    first_column,
)
# whose moment has come
_TIMED = "FROM spawns INDEXED BY spawns_not_before"
DUE = spawn_query(
    f"WHERE n IN (SELECT n {_TIMED} WHERE {_WAITS} AND not_before IS NOT NULL AND not_before <= :now LIMIT 500)"
    " ORDER BY priority DESC, n"
)
# which wait for another attempt until after a moment
TRIED_LATER = spawn_query(
    f"WHERE n IN (SELECT n {_TIMED} WHERE {_WAITS} AND not_before > :moment) AND attempt > 0 ORDER BY n"
)
NEXT_START: Query[int | None] = Query(
    f"SELECT min(not_before) {_TIMED} WHERE {_WAITS} AND not_before IS NOT NULL", first_column
)
FIRST_OF: Query[str] = Query(
    f"SELECT id FROM spawns WHERE {_WAITS} AND origin = :origin AND chain = '[]' ORDER BY priority DESC, n LIMIT 1",
    first_column,
)
WAITING_FOR_OTHERS: Query[str] = Query(
    f"SELECT id FROM spawns WHERE {_WAITS} AND origin <> :target ORDER BY priority DESC, n LIMIT :limit", first_column
)


# predecessors


@frozen
class Open:
    """A predecessor that a spawn waits for, and how that stands; state None where it is not here."""

    spawn: str
    predecessor: str
    condition: str
    name: str | None
    state: State | None


def _open(row: Any) -> Open:
    return Open(row[0], row[1], row[2], row[3], None if row[4] is None else State(row[4]))


_OPEN = (
    "SELECT p.spawn, p.predecessor, p.condition, s.name, s.state FROM predecessors p"
    " LEFT JOIN spawns s ON s.id = p.predecessor"
)
OPEN_OF: Query[Open] = Query(f"{_OPEN} WHERE p.spawn = :spawn AND p.met = 0 ORDER BY p.predecessor", _open)
OPEN_HERE: Query[Open] = Query(
    f"{_OPEN} JOIN spawns w ON w.id = p.spawn WHERE p.met = 0 AND w.live = 1 AND w.target = :target"
    " ORDER BY p.spawn, p.predecessor",
    _open,
)
MET_OF: Query[tuple[str, str]] = Query(
    "SELECT predecessor, condition FROM predecessors WHERE spawn = :spawn AND met = 1", lambda row: (row[0], row[1])
)
# who waits for a spawn here, or would; by itself SQLite would go through all that live, in their order
DEPENDENTS: Query[tuple[str, str]] = Query(
    "SELECT p.spawn, p.condition FROM predecessors p INDEXED BY predecessors_of CROSS JOIN spawns s ON s.id = p.spawn"
    " WHERE p.predecessor = :predecessor AND p.met = 0 AND s.live = 1 AND s.target = :target ORDER BY s.n LIMIT :limit",
    lambda row: (row[0], row[1]),
)
# what has ended, and not all that waits for it here has been told so
ENDED_UNTOLD: Query[str] = Query(
    "SELECT DISTINCT p.predecessor FROM predecessors p JOIN spawns w ON w.id = p.spawn"
    " JOIN spawns s ON s.id = p.predecessor"
    " WHERE p.met = 0 AND w.live = 1 AND w.target = :target AND s.live = 0 AND s.target = :target",
    first_column,
)
# what a spawn still waits for: nothing, once it has ended
OPEN_BEFORE: Query[str] = Query(
    "SELECT p.predecessor FROM predecessors p JOIN spawns s ON s.id = p.spawn"
    " WHERE p.spawn = :spawn AND p.met = 0 AND s.live = 1",
    first_column,
)


def put_after(tx: Tx, spawn: str, after: Iterable[After]) -> None:
    """Say what a spawn comes after; what was said before is forgotten."""
    tx.execute("DELETE FROM predecessors WHERE spawn = ?", (spawn,))
    rows = [(spawn, each.spawn, each.condition) for each in after]
    tx.executemany("INSERT OR REPLACE INTO predecessors (spawn, predecessor, condition) VALUES (?, ?, ?)", rows)


def meet(tx: Tx, spawn: str, predecessor: str) -> None:
    """A predecessor has ended as it had to."""
    tx.execute("UPDATE predecessors SET met = 1 WHERE spawn = ? AND predecessor = ?", (spawn, predecessor))


# marks and edits


def pause(tx: Tx, spawn: str, now: int, by: str) -> None:
    """Keep a spawn from starting."""
    tx.execute("UPDATE spawns SET paused = ?, paused_by = ? WHERE id = ?", (now, by, spawn))


def resume(tx: Tx, spawn: str) -> None:
    """Let it start again."""
    tx.execute("UPDATE spawns SET paused = NULL, paused_by = NULL WHERE id = ?", (spawn,))


def not_before(tx: Tx, spawn: str, moment: int | None) -> None:
    """Say from when on a spawn may start (milliseconds); None for at once."""
    tx.execute("UPDATE spawns SET not_before = ? WHERE id = ?", (moment, spawn))


def prolong(tx: Tx, spawn: str, expires: int) -> None:
    """Give a spawn another end of its time to live (milliseconds)."""
    tx.execute("UPDATE spawns SET expires = ? WHERE id = ?", (expires, spawn))


_EDITED = (
    "task argv cwd mode model timeout_s labels expires wishes priority"  # what `edit` may change
).split()
_EDIT = f"UPDATE spawns SET {', '.join(f'{name} = :{name}' for name in _EDITED)} WHERE id = :id"


def edit(tx: Tx, request: SpawnRequest) -> None:
    """Put another request in the place of the one that a row was made for."""
    values = asked_values(request) | {"priority": request.wishes.priority}
    tx.execute(_EDIT, {name: values[name] for name in [*_EDITED, "id"]})


# attempts that another one followed


@frozen
class Try:
    """An attempt that another one followed; `asked`: by whom that was asked for, empty for a retry."""

    spawn: str
    n: int
    asked: str
    outcome: dict[str, Any]


TRIES: Query[Try] = Query(
    "SELECT spawn, n, asked, outcome FROM tries WHERE spawn = :spawn ORDER BY n, asked", mapper(Try, outcome=json.loads)
)
_TRY: Query[Try] = Query(
    "SELECT spawn, n, asked, outcome FROM tries WHERE spawn = :spawn AND n = :n AND asked = :asked",
    mapper(Try, outcome=json.loads),
)
# since a person last asked for an attempt
WAS_TRIED: Query[int] = Query("SELECT 1 FROM tries WHERE spawn = :spawn LIMIT 1", first_column)
RETRIES_USED: Query[int] = Query(
    "SELECT count(*) FROM tries WHERE spawn = :spawn AND asked = ''"
    " AND n > coalesce((SELECT max(n) FROM tries WHERE spawn = :spawn AND asked <> ''), -1)",
    first_column,
)


SESSION_KEY = "session"
"""In an outcome: the agent's session in which the attempts after it go on."""
TERMINAL_KEY = "terminal"
"""In an outcome: the attempt after it opens the agent's own interface, for a person."""

LEFT_KEY = "left"
"""In an outcome: what of the attempt's result is still there if no other attempt comes to run."""


@frozen
class Onward:
    """How attempts go on: in a session of their agent, and whether in its own interface; how the one before ended.

    `asked` is by whom that was asked for, as in `Try`.
    """

    session: str
    terminal: bool
    after: State
    asked: str = ""


ONWARD: Query[Onward] = Query(
    f"SELECT json_extract(outcome, '$.{SESSION_KEY}'), coalesce(json_extract(outcome, '$.{TERMINAL_KEY}'), 0),"
    " json_extract(outcome, '$.state'), asked"
    f" FROM tries WHERE spawn = :spawn AND json_extract(outcome, '$.{SESSION_KEY}') IS NOT NULL"
    " ORDER BY n DESC LIMIT 1",
    lambda row: Onward(str(row[0]), bool(row[1]), State(row[2]), str(row[3])),
)

LEFT: Query[dict[str, Any]] = Query(
    f"SELECT json_extract(outcome, '$.{LEFT_KEY}') FROM tries WHERE spawn = :spawn"
    f" AND json_extract(outcome, '$.{LEFT_KEY}') IS NOT NULL ORDER BY n DESC LIMIT 1",
    lambda row: json.loads(row[0]),
)


def keep_try(tx: Tx, spawn: str, n: int, asked: str, outcome: dict[str, Any]) -> None:
    """Keep how an attempt ended, before the next one takes its place in the row.

    What ended once more before another attempt began, as by a stop while it was held, ran no more: how the attempt
    ended stands, and the later word says how to go on.
    """
    known = _TRY.one(tx, spawn=spawn, n=n, asked=asked)
    if known is not None and n:  # of none there is no end to keep
        first, last = sorted((known.outcome, outcome), key=_ended)
        outcome = last | {name: value for name, value in first.items() if name not in (SESSION_KEY, TERMINAL_KEY)}
    tx.execute("INSERT OR REPLACE INTO tries VALUES (?, ?, ?, ?)", (spawn, n, asked, to_json(outcome)))


def _ended(outcome: dict[str, Any]) -> int:
    return moment if type(moment := outcome.get("ended")) is int else 0


def outcome_of_row(row: SpawnRow) -> dict[str, Any]:
    """How a spawn's latest attempt ended, for `keep_try`."""
    return {
        "state": str(row.state),
        "reason": row.reason[:1000],
        "exit_code": row.exit_code,
        "signal": row.signal,
        "started": row.started,
        "ended": row.ended or row.since,
        "error": row.error,
    }

"""Calls as they are stored: those that this broker asked for, and those that it runs."""

from __future__ import annotations

import json
from typing import Any

from relay.core.calls import CallRequest, Outcome
from relay.core.ids import BrokerId
from relay.core.states import TERMINAL, State
from relay.core.values import frozen
from relay.store.query import Query, columns, first_column, mapper


@frozen
class CallRow:
    """One call. Times in milliseconds; what is said of `CallRequest` and `Word` is not said again.

    All queries but `BY_ID` leave its arguments and its result out.

    Attributes:
        n: its place in the order of arrival.
        parent: the spawn of this broker that caused it, or None.
        links: the packed links that prove its chain, or None.
        at: when the target said the last word, by its clock; None before the first.
        program: the program that it was claimed for; None before.
        claimed: when that was, and so much later as this machine has slept since.
        first_word: when the target first showed that it has it.
        learnt: when the last change came here, by this clock.
        stop_requested: when it was asked to stop.
    """

    n: int
    id: str
    tool: str
    arguments: bytes
    created: int
    expires: int
    timeout_s: float
    requested_by: str
    chain: tuple[BrokerId, ...]
    origin: BrokerId
    target: BrokerId
    parent: str | None
    links: bytes | None
    state: State
    seq: int
    reason: str
    since: int
    at: int | None
    started: int | None
    ended: int | None
    outcome: Outcome | None
    result: bytes | None
    pieces: int
    error: dict[str, Any] | None
    program: str | None
    claimed: int | None
    first_word: int | None
    learnt: int
    stop_requested: int | None

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return self.state not in TERMINAL

    @property
    def due(self) -> int | None:
        """When its time is up, once it was claimed."""
        return None if self.claimed is None else self.claimed + int(self.timeout_s * 1000)


def request_of(row: CallRow) -> CallRequest:
    """The request that a row was made of."""
    return CallRequest(
        row.id, row.tool, row.arguments, row.created, row.expires, row.timeout_s, row.requested_by, row.chain
    )


_row = mapper(
    CallRow, state=State, outcome=Outcome, chain=lambda text: tuple(json.loads(text)), error=json.loads
)
_WHOLE = f"SELECT {columns(CallRow)} FROM calls"
# without what may be long, for all that looks at many: what was said to the runner, and what it gave
_LIGHT = columns(CallRow).replace('"arguments"', "x'7b7d'").replace('"result"', "NULL")
_SELECT = f"SELECT {_LIGHT} FROM calls"
_IN_HAND = "state IN ('starting', 'running')"

BY_ID: Query[CallRow] = Query(f"{_WHOLE} WHERE id = :id", _row)
NEWEST: Query[CallRow] = Query(f"{_SELECT} ORDER BY n DESC LIMIT :limit", _row)
# in the order of arrival: what waits at its target, and what its program has
WAITING: Query[CallRow] = Query(
    f"{_SELECT} WHERE target = :own AND live = 1 AND state = 'waiting' ORDER BY n LIMIT :limit", _row
)
WAITING_FOR: Query[CallRow] = Query(
    f"{_SELECT} WHERE target = :own AND live = 1 AND state = 'waiting'"
    " AND tool IN (SELECT name FROM offers WHERE program = :program)"
    " AND tool NOT IN (SELECT value FROM json_each(:full)) ORDER BY n LIMIT :limit",
    _row,
)
IN_HAND: Query[CallRow] = Query(f"{_SELECT} WHERE target = :own AND live = 1 AND {_IN_HAND} ORDER BY n", _row)
IN_HAND_OF: Query[int] = Query(
    f"SELECT count(*) FROM calls WHERE target = :own AND live = 1 AND {_IN_HAND} AND program = :program", first_column
)
IN_HAND_OF_TOOL: Query[int] = Query(
    f"SELECT count(*) FROM calls WHERE target = :own AND live = 1 AND {_IN_HAND} AND program = :program"
    " AND tool = :tool",
    first_column,
)
AHEAD_OF: Query[int] = Query(
    "SELECT count(*) FROM calls WHERE target = :own AND live = 1 AND state = 'waiting' AND n < :n AND tool = :tool",
    first_column,
)
LIVE_HERE: Query[CallRow] = Query(f"{_SELECT} WHERE target = :own AND live = 1 ORDER BY n", _row)
LIVE_OF: Query[int] = Query(
    "SELECT count(*) FROM calls WHERE target = :own AND live = 1 AND origin = :origin", first_column
)
LIVE_THERE: Query[int] = Query("SELECT count(*) FROM calls WHERE target <> :own AND live = 1", first_column)
CAUSED: Query[int] = Query("SELECT count(*) FROM calls WHERE parent = :parent", first_column)
OVERDUE: Query[CallRow] = Query(
    f"{_SELECT} WHERE target = :own AND live = 1 AND {_IN_HAND} AND claimed + timeout_s * 1000 <= :now", _row
)
NEXT_DUE: Query[float] = Query(
    f"SELECT min(CASE WHEN {_IN_HAND} THEN claimed + timeout_s * 1000 ELSE expires END) FROM calls"
    f" WHERE target = :own AND live = 1 AND ({_IN_HAND} OR state = 'waiting')",
    first_column,
)
UNSENT_EXPIRED: Query[CallRow] = Query(
    f"{_SELECT} WHERE target <> :own AND live = 1 AND state = 'queued' AND expires <= :now", _row
)
UNSTARTED_EXPIRED: Query[CallRow] = Query(
    f"{_SELECT} WHERE target = :own AND live = 1 AND state = 'waiting' AND expires <= :now", _row
)
PIECES: Query[bytes] = Query("SELECT data FROM call_pieces WHERE call = :call AND seq = :seq ORDER BY n", first_column)
KEPT_WORD: Query[bytes] = Query("SELECT word FROM call_words WHERE call = :call AND seq = :seq", first_column)

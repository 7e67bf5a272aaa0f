"""A spawn as its target tells it to another broker that may view it: read there, live, and kept nowhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from relay.core import ids
from relay.core.errors import PeerFault
from relay.core.field_checks import MAX_MOMENT
from relay.core.ids import BrokerId
from relay.core.spawning import Snapshot, is_broker_id, request_from_content, snapshot_from_bytes
from relay.core.states import State
from relay.core.wire import pack
from relay.core.wishes import first_bad_wish
from relay.spawn.requests import request_of
from relay.store.peers import LEAST_SKEW_MS
from relay.store.spawn_rows import SpawnRow

MAX_TOLD = 190 * 1024
LINE_TASK, LINE_REASON = 200, 1_000  # letters of them in a list
CUT_TASK = 20_000  # letters, where all of a spawn would not fit a message
MAX_REASON = 4_000
_MARKS = ("stop_requested", "paused", "paused_by", "not_before", "priority", "schedule")


def content_of(row: SpawnRow, now: int, reason: str, whole: bool) -> dict[str, Any]:
    """A spawn of this machine as it crosses a link.

    Args:
        row: as it stands.
        now: when this is said, milliseconds.
        reason: why it stands so, where that is known better than its row says; else empty.
        whole: with its task, its result and all else; without, as a list shows it.
    """
    content = _content(row, now, reason or row.reason, None if whole else LINE_TASK)
    if len(pack(content)) > MAX_TOLD:
        content = _content(row, now, reason or row.reason, CUT_TASK)
    return content


def _content(row: SpawnRow, now: int, reason: str, cut: int | None) -> dict[str, Any]:
    request = request_of(row).to_content()
    if cut is not None:
        request |= {"task": row.task[:cut], "argv": []}
    brief = cut == LINE_TASK
    word = Snapshot(
        spawn=row.id,
        target=row.target,
        attempt=row.attempt,
        seq=row.seq,
        state=row.state,
        at=now,
        since=row.since,
        reason=reason[: LINE_REASON if brief else MAX_REASON],
        cwd=row.ran_in,
        started=row.started,
        ended=row.ended,
        exit_code=row.exit_code,
        signal=row.signal,
        result=None if brief else row.result,
        error=row.error,
        needs=row.needs,
    )
    marks = {name: getattr(row, name) for name in _MARKS}
    return {"origin": row.origin, "request": request, "word": word.to_bytes(), "marks": marks}


def _moment(value: object) -> bool:
    return value is None or (type(value) is int and 0 <= value <= MAX_MOMENT)


_MARK_CHECKS: dict[str, Callable[[object], bool]] = {
    "stop_requested": _moment,
    "paused": _moment,
    "paused_by": lambda value: value is None or (type(value) is str and len(value) <= 256),
    "not_before": _moment,
    "priority": lambda value: type(value) is int and abs(value) < 2**31,
    "schedule": lambda value: value is None or ids.is_spawn_id(value),
}
_FIELDS = frozenset(each.name for each in dataclasses.fields(SpawnRow))


def row_from_content(content: object, target: BrokerId, now: int | None = None) -> SpawnRow:
    """A spawn that another broker told; unknown keys, and wishes of a later version, are ignored.

    Args:
        content: of a `spawns.list`.
        target: who sent it: a broker speaks for its own spawns alone.
        now: milliseconds, by this machine's clock, which its times are then shown by; None leaves them as they are.

    Raises:
        PeerFault: a field is missing or wrong.
    """
    if type(content) is not dict or not is_broker_id(content.get("origin")):
        raise _refused("its origin is wrong")
    asked, said, marks = (content.get(name) for name in ("request", "word", "marks"))
    if type(asked) is not dict or type(said) is not bytes or type(marks) is not dict:
        raise _refused("it has another form")
    bad = next((name for name, check in _MARK_CHECKS.items() if name not in marks or not check(marks[name])), None)
    if bad is not None:
        raise _refused(f"its field {bad!r} is wrong")
    if first_bad_wish(asked.get("wishes", {})) is not None:
        asked = asked | {"wishes": {}}
    request, word = request_from_content(asked), snapshot_from_bytes(said)
    if word.target != target or word.spawn != request.id or word.state is State.QUEUED:
        raise _refused("it is of another broker")
    ahead = 0 if now is None else word.at - now
    word = word.earlier(ahead) if abs(ahead) >= LEAST_SKEW_MS else word
    known: dict[str, Any] = dict.fromkeys(_FIELDS)
    known |= {name: getattr(request, name) for name in _FIELDS & _names(request)}
    known |= {name: getattr(word, name) for name in _FIELDS & _names(word)} | {"cwd": request.cwd, "ran_in": word.cwd}
    known |= {name: marks[name] for name in _MARKS}
    known |= {"origin": content["origin"], "operation": "", "first_word": word.at}
    return SpawnRow(**known)


def _names(of: Any) -> set[str]:
    return {each.name for each in dataclasses.fields(of)}


def _refused(why: str) -> PeerFault:
    return PeerFault("a list of spawns was refused", why=f"a spawn in it: {why}")

"""The values of a spawn: what was asked for (`SpawnRequest`) and the target's word on it (`Snapshot`).

Both cross links, so both are checked field by field on the way in.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from dataclasses import field
from typing import Any

from relay.core import ids
from relay.core.errors import Code, Misuse, PeerFault
from relay.core.field_checks import is_count, is_moment, is_seconds, optional
from relay.core.ids import BrokerId
from relay.core.states import State
from relay.core.values import frozen
from relay.core.wire import pack, unpack
from relay.core.wishes import NONE, Wishes, wishes_from_content

MODES = ("plan", "edit", "full")
MAX_TASK = 200 * 1024
MAX_ARGV = 1024
MAX_LABELS = 32
MAX_CHAIN = 8
MAX_SUMMARY, MAX_TAIL = 4_000, 16_000
MAX_SNAPSHOT = 128 * 1024
FRESH_DIRECTORY = "new"


@frozen
class SpawnRequest:
    """What one broker asks another (or itself) to run.

    Attributes:
        id: minted by the origin's broker; 16 letters.
        name: the person's label.
        agent: which of the target's agents; a local command there, never an argv from here.
        task: the text for the agent, at most 200 KiB; for `exec` the words joined for reading.
        argv: for `exec` alone: the words themselves.
        cwd: a directory on the target, `new` for a fresh one, or None for none given.
        mode: `plan`, `edit` or `full`.
        model: passed to the agent where it knows models.
        timeout_s: awake seconds until `timed_out`; None for the target's default.
        labels: at most 32 short texts.
        requested_by: the person or client, for views; grants nothing.
        chain: the broker ids this request came through, oldest first; empty for a person's own.
        created: milliseconds since 1970, the origin's clock.
        expires: not to be started after this.
        wishes: how it is to be queued and run.
    """

    id: str
    name: str
    agent: str
    task: str
    created: int
    expires: int
    argv: tuple[str, ...] = ()
    cwd: str | None = None
    mode: str = "edit"
    model: str | None = None
    timeout_s: float | None = None
    labels: dict[str, str] = field(default_factory=dict)
    requested_by: str = ""
    chain: tuple[BrokerId, ...] = ()
    wishes: Wishes = NONE

    def to_content(self) -> dict[str, Any]:
        """The body of a `spawn` envelope."""
        content = {name: getattr(self, name) for name in _REQUEST_FIELDS}
        content["spawn"] = content.pop("id")
        content |= {"argv": list(self.argv), "chain": list(self.chain)}
        wishes = content.pop("wishes").to_content()
        return content | {"wishes": wishes} if wishes else content


_REQUEST_FIELDS = tuple(item.name for item in dataclasses.fields(SpawnRequest))


@frozen
class Snapshot:
    """The target's word on a spawn at one moment. Copies keep the highest (attempt, seq).

    Attributes:
        spawn: the spawn's id.
        target: whose word this is.
        attempt: which try, from 1; 0 before the first.
        seq: grows with every snapshot of the spawn.
        state: where it stands.
        at: when it was said, milliseconds since 1970 on the target's clock.
        since: since when the state holds.
        reason: why it stands there, in words.
        cwd: where it runs, as the target resolved it.
        started, ended: of the attempt.
        exit_code, signal: of the attempt, at most one of them.
        result: `{"status","outcome","summary","output_tail","usage","session"}` or None.
        error: `{"code","message","why","hint"}` or None.
        needs: what a person is asked, or None.
        tried: how the attempt ended that another one is to follow: `{"n","asked","outcome"}`, else None.
    """

    spawn: str
    target: BrokerId
    attempt: int
    seq: int
    state: State
    at: int
    since: int
    reason: str = ""
    cwd: str | None = None
    started: int | None = None
    ended: int | None = None
    exit_code: int | None = None
    signal: int | None = None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    needs: dict[str, Any] | None = None
    tried: dict[str, Any] | None = None

    @property
    def order(self) -> tuple[int, int]:
        """What two snapshots of one spawn are compared by: the greater one is the later word."""
        return (self.attempt, self.seq)

    def earlier(self, by: int) -> Snapshot:
        """The same word with its times on another clock, one that shows `by` milliseconds less."""
        if not by:
            return self
        moved = _moved({name: getattr(self, name) for name in ("at", "since", "started", "ended")}, by)
        if self.tried is not None:
            moved["tried"] = self.tried | {"outcome": _moved(self.tried["outcome"], by)}
        if self.needs is not None:
            moved["needs"] = _moved(self.needs, by)
        return dataclasses.replace(self, **moved)

    def to_bytes(self) -> bytes:
        """The bytes the target signs."""
        content = {name: getattr(self, name) for name in _SNAPSHOT_FIELDS} | {"state": str(self.state)}
        if self.tried is None:
            del content["tried"]
        return pack(content)


def _moved(values: dict[str, Any], by: int) -> dict[str, Any]:
    times = {name: values.get(name) for name in ("at", "since", "started", "ended", "asked", "expires")}
    return values | {name: max(time - by, 0) for name, time in times.items() if type(time) is int}


_SNAPSHOT_FIELDS = tuple(item.name for item in dataclasses.fields(Snapshot))


def _text(limit: int) -> Callable[[object], bool]:
    return lambda value: type(value) is str and _encoded_length(value) <= limit


def _encoded_length(text: str) -> float:
    try:
        return len(text.encode())
    except UnicodeEncodeError:  # a lone surrogate, which JSON can spell and msgpack cannot carry
        return math.inf


def _labels(value: object) -> bool:
    return type(value) is dict and len(value) <= MAX_LABELS and all(map(_text(256), [*value, *value.values()]))


def _texts(most: int, each: int) -> Callable[[object], bool]:
    return lambda value: type(value) is list and len(value) <= most and all(map(_text(each), value))


def _document(*texts: str) -> Callable[[object], bool]:
    # people and scripts read it: what JSON cannot spell, or another sort of value than belongs there, stays outside
    return lambda value: (
        type(value) is dict
        and is_json(value)
        and all(type(value.get(key)) is str for key in texts)
        and all(check(value[key]) for key, check in _KEY_CHECKS.items() if key in value)
        and len(pack(value)) <= MAX_SNAPSHOT
    )


def is_json(value: object) -> bool:
    """Whether JSON can spell it, and would read the same again."""
    if type(value) is dict:
        return all(type(key) is str for key in value) and all(map(is_json, value.values()))
    if type(value) is list:
        return all(map(is_json, value))
    if type(value) is float:
        return math.isfinite(value)
    return value is None or type(value) in (bool, int, str)


def is_broker_id(value: object) -> bool:
    """Whether this is a well-formed broker id in its plain text form."""
    return type(value) is str and len(value) == ids.DIGEST_CHARS + ids.CHECK_CHARS and _is_plain_id(value)


@functools.lru_cache(maxsize=1024)
def _is_plain_id(text: str) -> bool:
    try:
        return ids.parse_broker_id(text) == text
    except Misuse:
        return False


def _plain(check: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: check(value) and "\0" not in str(value)


_REQUEST_CHECKS: dict[str, Callable[[object], bool]] = {
    "spawn": ids.is_spawn_id,
    "name": ids.is_name,
    "agent": ids.is_name,
    "task": _plain(_text(MAX_TASK)),
    "created": is_moment,
    "expires": is_moment,
    "argv": lambda value: _texts(MAX_ARGV, MAX_TASK)(value) and not any("\0" in word for word in value),  # type: ignore[attr-defined]
    "cwd": optional(_plain(_text(4096))),
    "mode": lambda value: value in MODES,
    "model": optional(_plain(_text(128))),
    "timeout_s": optional(is_seconds),
    "labels": _labels,
    "requested_by": _text(128),
    "chain": lambda value: type(value) is list and len(value) <= MAX_CHAIN and all(map(is_broker_id, value)),
}

def _is_text(value: object) -> bool:
    return type(value) is str


_KEY_CHECKS: dict[str, Callable[[object], bool]] = {
    **dict.fromkeys(("why", "hint", "tool", "session", "model", "branch", "diffstat"), optional(_is_text)),
    **dict.fromkeys(("output_before_bytes", "output_lost_bytes", "processes_left"), is_count),
    "usage": lambda value: type(value) is dict,
    "notes": lambda value: type(value) is list and all(map(_is_text, value)),
    # a person types these, as part of a command
    "request": ids.is_spawn_id,
    "kind": ids.is_name,
    "hash": lambda value: type(value) is str and len(value) <= 64 and (not value or value.isalnum()),
}
_SNAPSHOT_CHECKS: dict[str, Callable[[object], bool]] = {
    "spawn": ids.is_spawn_id,
    "target": is_broker_id,
    "attempt": is_count,
    "seq": is_count,
    "state": lambda value: type(value) is str and value in State._value2member_map_,
    "at": is_moment,
    "since": is_moment,
    "reason": _text(4096),
    "cwd": optional(_text(4096)),
    "started": optional(is_moment),
    "ended": optional(is_moment),
    "exit_code": optional(lambda value: type(value) is int and -1024 < value < 1024),
    "signal": optional(lambda value: type(value) is int and 0 < value < 128),
    "result": optional(_document("status", "outcome", "summary", "output_tail")),
    "error": optional(_document("code", "message")),
    "needs": optional(_document("text")),
}


def _is_tried(value: object) -> bool:
    return (
        type(value) is dict
        and is_count(value.get("n"))
        and _text(128)(value.get("asked"))
        and _document("state", "reason")(outcome := value.get("outcome"))
        and type(outcome) is dict
        and all(optional(is_moment)(outcome.get(key)) for key in ("started", "ended"))
        and outcome["state"] in State._value2member_map_
    )


def first_bad_field(content: dict[str, Any]) -> str | None:
    """The name of the first field of a spawn's body that is missing or wrong, or None."""
    return next((key for key, check in _REQUEST_CHECKS.items() if key not in content or not check(content[key])), None)


def request_from_content(content: dict[str, Any]) -> SpawnRequest:
    """The request in a `spawn` envelope's body; unknown keys are ignored.

    Raises:
        PeerFault: a field is missing or wrong.
    """
    bad = first_bad_field(content)
    if bad is not None:
        raise PeerFault("a spawn request was refused", code=Code.BAD_ENVELOPE, why=f"its field {bad!r} is wrong")
    known = {key: content[key] for key in _REQUEST_CHECKS if key != "spawn"}
    known |= {"argv": tuple(content["argv"]), "chain": tuple(content["chain"])}
    return SpawnRequest(id=content["spawn"], **known, wishes=wishes_from_content(content.get("wishes")))


def snapshot_from_bytes(data: bytes) -> Snapshot:
    """The snapshot in these signed bytes; unknown keys are ignored.

    Raises:
        PeerFault: a field is missing or wrong.
    """
    content = unpack(data, MAX_SNAPSHOT)
    if type(content) is not dict:
        raise PeerFault("a snapshot was refused", code=Code.BAD_ENVELOPE, why="it is no map")
    for key, check in _SNAPSHOT_CHECKS.items():
        if key not in content or not check(content[key]):
            raise PeerFault("a snapshot was refused", code=Code.BAD_ENVELOPE, why=f"its field {key!r} is wrong")
    tried = content.get("tried")
    if tried is not None and not _is_tried(tried):
        raise PeerFault("a snapshot was refused", code=Code.BAD_ENVELOPE, why="its field 'tried' is wrong")
    known = {key: content[key] for key in _SNAPSHOT_CHECKS} | {"tried": tried}
    return Snapshot(**known | {"state": State(content["state"])})

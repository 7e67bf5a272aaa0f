"""The values of a call: what was asked for (`CallRequest`) and the target's word on it (`Word`).

A call runs one runner of one broker once. Its arguments and its result are JSON, carried as the bytes that they were
written as. Both values cross links, so both are checked field by field on the way in.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from relay.core import ids, json_values
from relay.core.errors import Code, Misuse, PeerFault
from relay.core.field_checks import is_count, is_moment, is_seconds, optional
from relay.core.ids import BrokerId
from relay.core.offers import is_runner_name
from relay.core.spawning import MAX_CHAIN, is_broker_id
from relay.core.states import State
from relay.core.values import frozen

MAX_ARGUMENTS = 240 * 1024
PIECE = 200 * 1024
"""Bytes of a result that one envelope carries; a longer one comes in pieces."""
MAX_RESULT = 16 * 1024 * 1024
MOST_PIECES = -(-MAX_RESULT // PIECE)
MAX_REASON, MAX_WORDS = 1_000, 500
DEFAULT_TIMEOUT_S = 3_600.0
DEFAULT_TTL_S, MAX_TTL_S = 7 * 86_400, 30 * 86_400
ASKS = frozenset({State.QUEUED, State.DELIVERED, State.WAITING})


class Outcome(StrEnum):
    """What a runner said at its end."""

    DONE = "done"
    AWAITING = "awaiting_approval"
    ERROR = "error"
    CANCELLED = "cancelled"


STATE_OF: dict[Outcome, State] = {
    Outcome.DONE: State.COMPLETED,
    Outcome.AWAITING: State.COMPLETED,
    Outcome.ERROR: State.FAILED,
    Outcome.CANCELLED: State.CANCELLED,
}


@frozen
class CallRequest:
    """What one broker asks another (or itself) to run.

    Attributes:
        id: minted by the origin's broker; 16 letters, as a spawn's.
        tool: the runner's name at its target.
        arguments: a JSON object, compact; at most 240 KiB.
        created: milliseconds since 1970, the origin's clock.
        expires: not to be started after this.
        timeout_s: seconds from its start until `timed_out`.
        requested_by: the person or client, for views; grants nothing.
        chain: the broker ids this request came through, oldest first; empty for a person's own.
    """

    id: str
    tool: str
    arguments: bytes
    created: int
    expires: int
    timeout_s: float = DEFAULT_TIMEOUT_S
    requested_by: str = ""
    chain: tuple[BrokerId, ...] = ()

    def to_content(self) -> dict[str, Any]:
        """The body of a `tool.call` envelope."""
        content = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        content["call"] = content.pop("id")
        return content | {"chain": list(self.chain)}


@frozen
class Word:
    """The target's word on a call at one moment. Copies keep the highest seq.

    Attributes:
        call: the call's id.
        seq: grows with every word on the call.
        state: where it stands.
        at: when it was said, milliseconds since 1970 on the target's clock.
        since: since when the state holds.
        reason: why it stands there, in words.
        started, ended: of the run.
        outcome: what the runner said at its end, or None.
        result: JSON of what came of it, whole; None for none, or where it comes in pieces.
        pieces: in how many pieces it comes besides; 0 for none.
        error: `{"code", "message", "why", "hint"}` or None.
    """

    call: str
    seq: int
    state: State
    at: int
    since: int
    reason: str = ""
    started: int | None = None
    ended: int | None = None
    outcome: Outcome | None = None
    result: bytes | None = None
    pieces: int = 0
    error: dict[str, Any] | None = None

    def to_content(self) -> dict[str, Any]:
        """The body of a `tool.result` envelope."""
        content = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        outcome = None if self.outcome is None else str(self.outcome)
        return content | {"state": str(self.state), "outcome": outcome}


@frozen
class Piece:
    """A part of a result that one envelope does not hold: `n` counts from 0."""

    call: str
    seq: int
    n: int
    data: bytes

    def to_content(self) -> dict[str, Any]:
        """The body of a `tool.result` envelope."""
        return {"call": self.call, "seq": self.seq, "piece": self.n, "data": self.data}


def call_id(operation: str) -> str:
    """The id of the call that an operation makes: who asked under it knows the call without an answer."""
    return ids.spawn_id(ids.digest_of(f"call/{operation}".encode()))


def pieces_of(result: bytes) -> list[bytes]:
    """A result cut for envelopes; empty where one envelope holds it."""
    return [] if len(result) <= PIECE else [result[at : at + PIECE] for at in range(0, len(result), PIECE)]


def read_arguments(arguments: Any) -> bytes:
    """A client's arguments as they are carried.

    Raises:
        Misuse: `too_large`, or they are no JSON object that can be carried.
    """
    if not isinstance(arguments, dict):
        raise Misuse("the arguments cannot be used", why="they are a JSON object", hint="relay tools")
    if (fault := json_values.fault_of(arguments, depth=json_values.MAX_DEPTH)) is not None:
        raise Misuse("the arguments cannot be used", why=fault, hint="relay tools")
    data = json_values.packed(arguments)
    if len(data) > MAX_ARGUMENTS:
        raise too_large(len(data))
    return data


def too_large(size: int) -> Misuse:
    """The error for arguments of so many bytes, or more."""
    return Misuse(
        "the arguments are too long",
        code=Code.TOO_LARGE,
        why=f"a call carries at most {MAX_ARGUMENTS // 1024} KiB; these have {size // 1024}",
        hint="put it into a file that the tool can read, or: relay blob send FILE --broker BROKER",
    )


def with_whole(word: Word, result: bytes) -> Word:
    """A word whose result came in pieces, with these; a failure where they make no result."""
    if len(result) <= MAX_RESULT and _is_object(result, MAX_RESULT):
        return dataclasses.replace(word, result=result)
    error = {"code": str(Code.BAD_RESULT), "message": "its result came in pieces that make no result", "why": ""}
    return dataclasses.replace(
        word, state=State.FAILED, outcome=Outcome.ERROR, reason=error["message"], error=error | {"hint": ""}, pieces=0
    )


def _text(limit: int) -> Callable[[object], bool]:
    return lambda value: type(value) is str and len(value) <= limit and _encodes(value)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _json(most: int) -> Callable[[object], bool]:
    return lambda value: type(value) is bytes and len(value) <= most and _is_object(value, most)


def _is_object(data: bytes, most: int) -> bool:
    try:
        return type(json_values.read(data, most)) is dict
    except ValueError:
        return False


def _is_error(value: object) -> bool:
    keys = ("code", "message", "why", "hint")
    return type(value) is dict and set(value) <= set(keys) and all(map(_text(4_096), value.values()))


_REQUEST: dict[str, Callable[[object], bool]] = {
    "call": ids.is_spawn_id,
    "tool": is_runner_name,
    "arguments": _json(MAX_ARGUMENTS),
    "created": is_moment,
    "expires": is_moment,
    "timeout_s": is_seconds,
    "requested_by": _text(128),
    "chain": lambda value: type(value) is list and len(value) <= MAX_CHAIN and all(map(is_broker_id, value)),
}
_WORD: dict[str, Callable[[object], bool]] = {
    "call": ids.is_spawn_id,
    "seq": is_count,
    "state": lambda value: type(value) is str and value in State._value2member_map_,
    "at": is_moment,
    "since": is_moment,
    "reason": _text(4_096),
    "started": optional(is_moment),
    "ended": optional(is_moment),
    "outcome": optional(lambda value: type(value) is str and value in Outcome._value2member_map_),
    "result": optional(_json(PIECE)),
    "pieces": lambda value: type(value) is int and 0 <= value <= MOST_PIECES,
    "error": optional(_is_error),
}
_PIECE: dict[str, Callable[[object], bool]] = {
    "call": ids.is_spawn_id,
    "seq": is_count,
    "piece": lambda value: type(value) is int and 0 <= value < MOST_PIECES,
    "data": lambda value: type(value) is bytes and 0 < len(value) <= PIECE,
}


def _checked(content: dict[str, Any], checks: dict[str, Callable[[object], bool]], what: str) -> dict[str, Any]:
    for key, check in checks.items():
        if key not in content or not check(content[key]):
            raise PeerFault(f"a {what} was refused", code=Code.BAD_ENVELOPE, why=f"its field {key!r} is wrong")
    return {key: content[key] for key in checks}


def request_from_content(content: dict[str, Any]) -> CallRequest:
    """The request in a `tool.call` envelope's body; unknown keys are ignored.

    Raises:
        PeerFault: a field is missing or wrong.
    """
    known = _checked(content, _REQUEST, "call")
    call = known.pop("call")
    return CallRequest(call, **known | {"chain": tuple(known["chain"])})


def word_from_content(content: dict[str, Any]) -> Word | Piece:
    """The word, or the piece of a result, in a `tool.result` envelope's body; unknown keys are ignored.

    Raises:
        PeerFault: a field is missing or wrong, or it says what no target says.
    """
    if "piece" in content:
        piece = _checked(content, _PIECE, "piece of a result")
        return Piece(piece["call"], piece["seq"], piece["piece"], piece["data"])
    known = _checked(content, _WORD, "word on a call")
    state, outcome = State(known["state"]), known["outcome"]
    word = Word(**known | {"state": state, "outcome": None if outcome is None else Outcome(outcome)})
    if (word.outcome is not None and STATE_OF[word.outcome] is not state) or not _fits(word):
        raise PeerFault("a word on a call was refused", code=Code.BAD_ENVELOPE, why="its state is not its outcome's")
    return word


def _fits(word: Word) -> bool:
    """Whether its state has what belongs to it: no success without an outcome, no result before the end."""
    if word.state in (State.HELD, State.NEEDS_INPUT, State.QUEUED):
        return False
    if word.state is State.COMPLETED:
        return word.outcome is not None and (word.result is not None or word.pieces > 0)
    return word.outcome is not None or (word.result is None and not word.pieces)

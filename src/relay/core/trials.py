"""Trials: what would become of a request, asked of its target without asking for it (`relay spawn --dry-run`).

    question ─ a random stream, and the request as it would be sent ─► the target plays it through and undoes it
    word     ◄─ signed by the target, and bound to the stream, the question's hash, and both ends

Neither is durable, and neither starts, queues or keeps anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from relay.core.envelope import authenticated
from relay.core.errors import Code, PeerFault
from relay.core.field_checks import is_moment, optional
from relay.core.ids import BrokerId
from relay.core.spawning import MODES, SpawnRequest, is_broker_id, request_from_content
from relay.core.values import frozen
from relay.core.wire import pack, unpack

HASH_BYTES = 32
MAX_QUESTION = 240 * 1024  # a request with the longest task, and what stands around it
MAX_WORD = 32 * 1024
MAX_EVERY = 256
MOST_SORTS = 64
_DOMAIN = b"relay-trial-question/1"
Check = Callable[[object], bool]


class Verdict(StrEnum):
    """What would become of a request."""

    START = "start"
    WAIT = "wait"
    HOLD = "hold"
    REFUSE = "refuse"
    FAIL = "fail"


@frozen
class Question:
    """What is asked.

    Attributes:
        request: as it would be sent.
        every: how often it is to be repeated, or None for once.
    """

    request: SpawnRequest
    every: str | None = None

    def to_bytes(self) -> bytes:
        """As it is sent, and hashed."""
        return pack({"request": self.request.to_content(), "every": self.every})


def question_from_bytes(data: object) -> Question:
    """The question in an envelope; unknown keys are ignored.

    Raises:
        PeerFault: it has another form, or wishes for what is not known here.
    """
    content = unpack(data, MAX_QUESTION) if type(data) is bytes else None
    if type(content) is not dict or type(content.get("request")) is not dict:
        raise PeerFault("a trial was refused", why="it has another form")
    every = content.get("every")
    if every is not None and (type(every) is not str or len(every) > MAX_EVERY):
        raise PeerFault("a trial was refused", why="its field 'every' is wrong")
    return Question(request_from_content(content["request"]), every)


def hash_of(stream: bytes, question: bytes) -> bytes:
    """What the word on a question repeats (32 bytes), so that it fits no other."""
    return hashlib.sha256(authenticated(_DOMAIN, stream, question)).digest()


@frozen
class Word:
    """The target's word.

    Attributes:
        hash: of the question.
        asker: who asked; `target`: who answers.
        at: when, milliseconds since 1970 on the target's clock.
        verdict: what would become of it.
        reason: why it would wait or be held, or how it would end.
        error: `{"code","message","why","hint"}` where it would be refused or fail, else None.
        facts: what else is told to who may spawn it (`_FACTS`), else None.
    """

    hash: bytes
    asker: BrokerId
    target: BrokerId
    at: int
    verdict: Verdict
    reason: str = ""
    error: dict[str, str] | None = None
    facts: dict[str, Any] | None = None

    def to_bytes(self) -> bytes:
        """The bytes that the target signs."""
        content = {name: getattr(self, name) for name in _CHECKS}
        return pack(content | {"verdict": str(self.verdict)})


def _text(limit: int) -> Check:
    return lambda value: type(value) is str and len(value.encode("utf-8", "surrogatepass")) <= limit


def _flag(value: object) -> bool:
    return type(value) is bool


def _count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**31


class _Map:
    """A map with these keys at least; `known` leaves out the others: only what was looked at reaches a person."""

    def __init__(self, **checks: Check) -> None:
        self._checks = checks

    def __call__(self, value: object) -> bool:
        if type(value) is not dict or not value.keys() >= self._checks.keys():
            return False
        return all(check(value[key]) for key, check in self._checks.items())

    def known(self, value: dict[str, Any]) -> dict[str, Any]:
        return {key: _known(check, value[key]) for key, check in self._checks.items()}


class _List:
    """A list of at most so many of these maps."""

    def __init__(self, most: int, each: _Map) -> None:
        self._most = most
        self._each = each

    def __call__(self, value: object) -> bool:
        return type(value) is list and len(value) <= self._most and all(map(self._each, value))

    def known(self, value: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [self._each.known(each) for each in value]


def _known(check: Check, value: Any) -> Any:
    return check.known(value) if isinstance(check, _Map | _List) else value


_LONG, _SHORT = _text(4096), _text(256)
_MEANS = _Map(asked=_flag, possible=_flag, why=_SHORT)
_FACTS = _Map(
    agent=_Map(
        name=_SHORT, path=optional(_LONG), version=_SHORT, logged_in=optional(_flag), log_in=_SHORT, note=_LONG
    ),
    directory=_Map(asked=optional(_LONG), path=_LONG, fresh=_flag),
    mode=lambda value: value in MODES,
    slots=_Map(
        used=_count, of=_count, ahead=_count, sorts=_List(MOST_SORTS, _Map(name=_SHORT, used=_count, of=_count))
    ),
    limits=_MEANS,
    keep_awake=_MEANS,
    timeout_s=optional(lambda value: type(value) in (int, float) and 0 < value < 2**31),  # type: ignore[operator]
    next=optional(is_moment),
)
_ERROR = _Map(code=_SHORT, message=_LONG, why=_LONG, hint=_LONG)


def _bytes(length: int) -> Check:
    return lambda value: type(value) is bytes and len(value) == length


_CHECKS: dict[str, Check] = {
    "hash": _bytes(HASH_BYTES),
    "asker": is_broker_id,
    "target": is_broker_id,
    "at": is_moment,
    "verdict": lambda value: type(value) is str and value in Verdict._value2member_map_,
    "reason": _LONG,
    "error": optional(_ERROR),
    "facts": optional(_FACTS),
}


def word_from_bytes(data: bytes) -> Word:
    """The word in these signed bytes; unknown keys are ignored.

    Raises:
        PeerFault: a field is missing or wrong.
    """
    content = unpack(data, MAX_WORD)
    if type(content) is not dict:
        raise PeerFault("the word on a trial was refused", why="it is no map")
    for key, check in _CHECKS.items():
        if key not in content or not check(content[key]):
            why = f"its field {key!r} is wrong"
            raise PeerFault("the word on a trial was refused", code=Code.BAD_ENVELOPE, why=why)
    known = {key: content[key] for key in _CHECKS}
    for key, form in (("facts", _FACTS), ("error", _ERROR)):
        known[key] = None if known[key] is None else form.known(known[key])
    return Word(**known | {"verdict": Verdict(content["verdict"])})

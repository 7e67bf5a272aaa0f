"""What a person is asked, and what may be answered: kinds, verbs, and the answer as it crosses a link.

    question  ──ask──►  snapshot's `needs`, review  ──►  answer (approve | deny | send)  ──►  answered (outcome)

An answer names the exact request. The approval of a held spawn also names the hash of what is asked, so that what a
person read is what starts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from relay.core import ids
from relay.core.envelope import authenticated
from relay.core.errors import Code, PeerFault
from relay.core.ids import BrokerId
from relay.core.spawning import SpawnRequest
from relay.core.values import frozen
from relay.core.wire import pack

MAX_ANSWER = 64 * 1024
REQUEST_BYTES = 10
MAX_SAID = 300
_HASH = re.compile(r"[0-9a-f]{64}\Z")
_DOMAIN = b"relay-request/1"


class Asked(StrEnum):
    """Why a person is needed."""

    HELD = "held"  # a grant with `ask`: may it start?
    SILENT = "silent"  # no output for as long as the watchdog waits
    PERMISSION = "permission"  # an agent wants to do something that its mode does not cover
    QUESTION = "question"  # an agent wants to know something


class Reply(StrEnum):
    """What a person may answer."""

    APPROVE = "approve"
    DENY = "deny"
    SEND = "send"


@frozen
class Answer:
    """A person's answer.

    Attributes:
        spawn: which spawn.
        request: which question of it; empty for text to a running task that asked nothing.
        verb: what is answered.
        text: for `send`, and a word on the others.
        hash: for `held`: the hash of what was read, 64 hexadecimal digits; else empty.
        person: who typed it, for views; grants nothing.
    """

    spawn: str
    request: str
    verb: Reply
    text: str = ""
    hash: str = ""
    person: str = ""

    def to_content(self) -> dict[str, Any]:
        """The body of an `answer` envelope."""
        return {
            "spawn": self.spawn,
            "request": self.request,
            "verb": str(self.verb),
            "text": self.text,
            "hash": self.hash,
            "person": self.person,
        }


def request_hash(origin: BrokerId, request: SpawnRequest) -> str:
    """The hash of all that decides what a spawn does, 64 hexadecimal digits.

    Args:
        origin: who asks for it.
        request: what is asked for.
    """
    asked = [
        origin,
        list(request.chain),
        request.id,
        request.agent,
        request.task,
        list(request.argv),
        request.cwd,
        request.mode,
        request.model,
        None if request.timeout_s is None else float(request.timeout_s),
        sorted(request.labels.items()),
        sorted(request.wishes.to_content().items()),
    ]
    return hashlib.sha256(authenticated(_DOMAIN, pack(asked))).hexdigest()


def _text(limit: int) -> Callable[[object], bool]:
    return lambda value: type(value) is str and len(value.encode("utf-8", "surrogatepass")) <= limit


def _is_hash(value: object) -> bool:
    return type(value) is str and (value == "" or _HASH.match(value) is not None)


def is_request(value: object) -> bool:
    """Whether this is the id of a question."""
    return ids.is_spawn_id(value)


_CHECKS: dict[str, Callable[[object], bool]] = {
    "spawn": ids.is_spawn_id,
    "request": lambda value: value == "" or is_request(value),
    "verb": lambda value: type(value) is str and value in Reply._value2member_map_,
    "text": _text(MAX_ANSWER),
    "hash": _is_hash,
    "person": _text(128),
}


def answer_from_content(content: dict[str, Any]) -> Answer:
    """The answer in an envelope's body; unknown keys are ignored.

    Raises:
        PeerFault: a field is missing or wrong.
    """
    bad = next((key for key, check in _CHECKS.items() if key not in content or not check(content[key])), None)
    if bad is not None:
        raise PeerFault("an answer was refused", code=Code.BAD_ENVELOPE, why=f"its field {bad!r} is wrong")
    known = {key: content[key] for key in _CHECKS}
    return Answer(**known | {"verb": Reply(content["verb"])})


@frozen
class Outcome:
    """What became of an answer, by the word of the broker that was asked.

    Attributes:
        operation: the answer's.
        accepted: it took effect.
        said: in words: what it did, or who had answered before.
        error: `{"code","message","why","hint"}` where it did not, or None.
    """

    operation: str
    accepted: bool
    said: str
    error: dict[str, str] | None = None

    def to_content(self) -> dict[str, Any]:
        """The body of an `answered` envelope."""
        return {"answer": self.operation, "accepted": self.accepted, "said": self.said, "error": self.error}


def outcome_from_content(content: dict[str, Any]) -> Outcome:
    """The outcome in an envelope's body; unknown keys are ignored.

    Raises:
        PeerFault: a field is missing or wrong.
    """
    operation, said, error = content.get("answer"), content.get("said"), content.get("error")
    sound = ids.is_operation(operation) and type(content.get("accepted")) is bool and _text(4096)(said)
    if not sound or not (error is None or _is_error(error)):
        raise PeerFault("the outcome of an answer was refused", code=Code.BAD_ENVELOPE, why="it has another form")
    told = None if error is None else {key: str(error[key]) for key in ("code", "message", "why", "hint")}
    return Outcome(str(operation), content["accepted"], str(said), told)


def _is_error(value: object) -> bool:
    keys = ("code", "message", "why", "hint")
    return type(value) is dict and all(key in value and _text(2048)(value[key]) for key in keys)

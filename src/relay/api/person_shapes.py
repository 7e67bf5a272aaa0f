"""The JSON of what persons are asked, as types."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from relay.api.shapes import Named, Spawn


class Question(TypedDict):
    """What a person is asked about a spawn, and all that is needed to answer.

    Attributes:
        terms: what its request asks for beside the task, a line each.
    """

    spawn: str
    name: str
    broker: Named
    origin: Named
    fingerprint: str
    chain: list[str]
    agent: str
    cwd: str | None
    mode: str
    requested_by: str
    task: str
    argv: list[str]
    task_hash: str
    terms: list[str]
    cut: bool
    request: str
    kind: str
    text: str
    tool: str | None
    input: Any
    hash: str
    asked: str
    expires: str | None


class Unreached(Named):
    """A broker that could not be looked at."""

    why: str


class Untold(Named):
    """A broker that asks more than one look at it can tell."""

    count: int


class Review(TypedDict):
    """Everything that waits for a person."""

    questions: list[Question]
    unreachable: list[Unreached]
    more: NotRequired[list[Untold]]


class AnswerOrder(TypedDict, total=False):
    """The body of `POST answers`.

    Attributes:
        spawn: id prefix, name or name@broker.
        request: which question of it; None for the one there is.
        verb: `approve`, `deny` or `send`.
        text: for `send`.
        wait_s: how long another broker's word is waited for.
    """

    operation: str
    spawn: str
    request: str | None
    verb: str
    text: str
    requested_by: str
    wait_s: float


class Answered(TypedDict):
    """What became of an answer; `accepted` is null while the broker that asks has not said."""

    spawn: str
    broker: Named
    request: str | None
    verb: str
    accepted: bool | None
    said: str | None


class Failure(Spawn):
    """A spawn that ended badly, and what to do next."""

    tail: list[str]
    next: str

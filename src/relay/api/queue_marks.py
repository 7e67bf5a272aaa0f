"""What hangs on a spawn in the queue, as types: predecessors, marks, earlier attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict

if TYPE_CHECKING:
    from relay.api.shapes import Fault, StateName


class After(TypedDict):
    """What a spawn comes after; `show` has its name and state too."""

    id: str
    condition: Literal["success", "any"]
    name: NotRequired[str | None]
    state: NotRequired[StateName | None]


class Paused(TypedDict):
    """Who keeps a spawn from starting, since when."""

    by: str | None
    at: str


class QueueState(TypedDict):
    """Whether a whole queue rests."""

    paused: Paused | None


class Tried(TypedDict):
    """An attempt that another one followed, and why: `retry`, or who asked for it.

    Attributes:
        task: what it was told, where the next one was told something else.
        session: in which the next one went on.
    """

    attempt: int
    again: str
    state: StateName
    reason: str
    exit_code: int | None
    signal: int | None
    started: str | None
    ended: str | None
    error: Fault | None
    task: NotRequired[str]
    session: NotRequired[str]


class AskedOf(TypedDict):
    """What its target was asked to do with a spawn, and has not answered, or refused."""

    verb: str
    at: str
    error: Fault | None

"""The JSON of lists and of a spawn's course, as types."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from relay.api.shapes import Named, Spawn, StateName


class Silent(Named):
    """A broker that told nothing, and why."""

    why: str


class Listing(TypedDict):
    """A list of spawns.

    Attributes:
        matched: how many there are; where `exact` is false, at least so many.
        seq: the last event that had happened before this was read: events go on from there.
        silent: brokers that were asked what they run for others, and told nothing.
    """

    spawns: list[Spawn]
    matched: int
    exact: bool
    seq: int
    silent: list[Silent]


class Away(TypedDict):
    """What needs a person, what has ended since they last looked, and how much else goes on."""

    needs_you: list[Spawn]
    ended: list[Spawn]
    going_on: int
    unreachable: NotRequired[int]
    seq: int


# written as a call because "from" is a keyword: one state of a spawn, and who said so when, on that broker's clock
Step = TypedDict("Step", {"at": str, "state": StateName, "attempt": int, "seq": int, "reason": str, "from": Named})


class Mark(TypedDict):
    """What was put beside the states: a question, an answer, a pause, a person's word on the end."""

    at: str
    mark: str
    by: str
    text: str


class Shown(Spawn):
    """One spawn with its course.

    Attributes:
        timeline: the newest 64 steps, oldest first.
        timeline_earlier: words of its target before these that are not here.
        clock_skew_ms: the target's clock minus this machine's, as of the last link; None where it is not known.
    """

    timeline: list[Step]
    timeline_earlier: int
    marks: list[Mark]
    clock_skew_ms: int | None

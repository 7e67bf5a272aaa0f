"""The words of a transcript that cannot be read, or is waited for."""

from __future__ import annotations

from typing import Any

from relay.core.errors import Code, LocalFault, Refused, Unreachable, from_json
from relay.core.states import TERMINAL
from relay.core.values import frozen
from relay.store.spawn_rows import SpawnRow

MAX_STREAMS = 64
REQUEST = "a log request"


@frozen
class Waits:
    """A follower gets nothing because the other machine is not heard, and goes on waiting.

    Attributes:
        text: a line for people.
        offset: where the follower stands in the log.
    """

    text: str
    offset: int


OUT_OF_REACH = "its machine is out of reach now; what is new comes when it is back"
REST_AWAY = "it has ended, and its machine is out of reach now; for {:.0f} s the rest of its output is waited for"
NOTHING_COMES = "nothing has come from its machine for {:.0f} s; waiting, and asking again"


def own_fault() -> LocalFault:
    """A defect of ours, as the reader is told."""
    return LocalFault(
        "the broker that runs it met a fault of its own", code=Code.INTERNAL, hint="on that machine: see broker.log"
    )


def too_many() -> Refused:
    """One stream too many."""
    return Refused(
        "too many readers of logs at once",
        code=Code.TOO_MANY,
        why=f"a broker serves {MAX_STREAMS} of one peer at a time",
        hint="end some of the others and try again",
    )


class TargetAway(Unreachable):
    """Its target is away."""


def unreachable(row: SpawnRow) -> TargetAway:
    """Its target is away; what has ended is waited for by nobody, since all that is known of it may be here."""
    begun = "" if row.attempt else "; by what is known here it has not begun"
    later = "   once that one is back" if row.state in TERMINAL else " -f   waits for it"
    return TargetAway(
        "its log cannot be read now",
        why=f"the broker that runs it is not connected{begun}",
        hint=f"relay logs {row.id}{later}",
    )


def silent(row: SpawnRow) -> Unreachable:
    """There is a way to its target, and no answer."""
    return Unreachable(
        "its machine gave no answer",
        why="the broker that runs it was asked for the log, over every way there is, and said nothing",
        hint=f"relay logs {row.id} -f   waits for it",
    )


def raise_error(content: dict[str, Any]) -> None:
    """Raise what the target answered instead of output."""
    error = content.get("error")
    if isinstance(error, dict):
        raise from_json({key: str(error.get(key, ""))[:300] for key in ("code", "message", "why", "hint")})

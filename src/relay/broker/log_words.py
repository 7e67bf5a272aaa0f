"""The words of a transcript that cannot be read, and what is checked of a peer's request for one."""

from __future__ import annotations

from typing import Any

from relay.core.errors import Code, LocalFault, PeerFault, Refused, Unreachable, from_json
from relay.store.spawn_rows import SpawnRow

MAX_STREAMS = 64
STREAM_BYTES = 16


def stream_of(content: dict[str, Any]) -> bytes:
    """The stream a message is of; raises PeerFault where it has another form."""
    stream = content["stream"]
    if type(stream) is not bytes or len(stream) != STREAM_BYTES:
        raise PeerFault("a log request was refused", why="its stream has another form")
    return stream


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


def unreachable(row: SpawnRow) -> Unreachable:
    """Its target is away."""
    return Unreachable(
        "its log cannot be read now",
        why="the broker that runs it is not connected",
        hint=f"relay logs {row.id} -f waits for it",
    )


def raise_error(content: dict[str, Any]) -> None:
    """Raise what the target answered instead of output."""
    error = content.get("error")
    if isinstance(error, dict):
        raise from_json({key: str(error.get(key, ""))[:300] for key in ("code", "message", "why", "hint")})

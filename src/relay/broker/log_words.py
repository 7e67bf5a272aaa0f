"""The words of a transcript that cannot be read."""

from __future__ import annotations

from typing import Any

from relay.core.errors import Code, LocalFault, Refused, Unreachable, from_json
from relay.store.spawn_rows import SpawnRow

MAX_STREAMS = 64


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

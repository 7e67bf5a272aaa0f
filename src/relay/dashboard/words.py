"""How the states of a spawn read for people: on the dashboard and in the command's tables."""

from __future__ import annotations

WORDS: dict[str, str] = {
    "queued": "Queued",
    "delivered": "Queued",
    "held": "Needs you",
    "waiting": "Queued",
    "starting": "Starting",
    "running": "Working",
    "needs_input": "Needs you",
    "completed": "Done",
    "failed": "Failed",
    "timed_out": "Failed",
    "cancelled": "Stopped",
    "rejected": "Refused",
    "expired": "Expired",
    "lost": "Lost",
}
UNREACHABLE = "Unreachable"
ENDED = frozenset({"completed", "failed", "timed_out", "cancelled", "rejected", "expired", "lost"})
NEEDS_A_PERSON = frozenset({"held", "needs_input"})


def word(state: str) -> str:
    """The word for a state; a state of a newer broker is shown as it is."""
    return WORDS.get(state, state)


def last_word(state: str, age: str) -> str:
    """The word for a state whose target is out of reach.

    Args:
        state: the last one known.
        age: how long ago its target said so, in words.
    """
    return f"{UNREACHABLE} ({word(state)} {age} ago)"

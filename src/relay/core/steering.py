"""Which of several requests about one spawn came later: on their way they may overtake each other.

A request carries `order`, which grows with each one that its asker makes about that spawn. What it sets has names, and
of each name the latest request counts. One for another attempt is later than all that was asked before it.

    edit 1: task, priority ─────────────┐
    edit 2: task ─────────┐             ▼
                          ▼   task 2    │ priority 1; its task is passed over
"""

from __future__ import annotations

from typing import Any

ANOTHER_ATTEMPT = ""
MARK = "paused"
_MARKING = frozenset({"pause", "resume", "pause_queue", "resume_queue"})
_AGAIN = frozenset({"retry", "continue", "take"})
_WISHES = "wishes"


def order_of(content: dict[str, Any]) -> int | None:
    """A request's order; None where its asker, an earlier version, gave it none."""
    order = content.get("order")
    return order if type(order) is int and 0 < order < 2**53 else None


def things_set(verb: str, content: dict[str, Any]) -> frozenset[str]:
    """The names of what a request sets.

    Args:
        verb: of the request.
        content: of an `edit` its `change`.
    """
    if verb in _MARKING:
        return frozenset({MARK})
    if verb in _AGAIN:
        return frozenset({ANOTHER_ATTEMPT})
    change = content.get("change") if verb == "edit" else None
    if not isinstance(change, dict):
        return frozenset()
    wishes = change.get(_WISHES)
    named = {f"{_WISHES}.{name}" for name in wishes} if isinstance(wishes, dict) else set[str]()
    return frozenset(set(change) - {_WISHES} | named)


def without(change: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """A change without what a later one has set."""
    kept = {name: value for name, value in change.items() if name not in names}
    wishes = kept.get(_WISHES)
    if isinstance(wishes, dict):
        kept[_WISHES] = {name: value for name, value in wishes.items() if f"{_WISHES}.{name}" not in names}
        if not kept[_WISHES]:
            del kept[_WISHES]
    return kept

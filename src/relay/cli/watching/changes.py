"""What differs between a list and the one before it: `relay ps --watch --json`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from relay.api.shapes import Spawn

TELLING = ("state", "attempt", "since", "needs", "paused", "resolved", "in_reach", "priority", "exit_code")


class Changes:
    """Remembers the list that was told last."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Spawn, Any]] = {}
        self._begun = False

    def to(self, spawns: list[Spawn]) -> Iterator[dict[str, Any]]:
        """A document for each spawn that is new, has changed, or is gone; at first `is` for all that are there."""
        before, self._known = self._known, {each["id"]: (each, _telling(each)) for each in spawns}
        for spawn in reversed(spawns):
            known = before.get(spawn["id"])
            if known is None:
                yield {"change": "new" if self._begun else "is", "spawn": spawn}
            elif known[1] != _telling(spawn):
                yield {"change": "changed", "spawn": spawn}
        for gone in before.keys() - self._known.keys():
            yield {"change": "gone", "spawn": before[gone][0]}
        self._begun = True


def _telling(spawn: Spawn) -> list[Any]:
    # why it is queued says how long ago its target was seen, which is no change of it
    reason = "" if spawn["state"] == "queued" else spawn["reason"]
    return [reason, *(spawn.get(key) for key in TELLING)]

"""What a person types while the connection is broken off: kept for a moment, then dropped.

A key that arrives hours later does something that nobody means any more, and half of a line is worse than none of it.
So after a break that lasts, nothing of what was typed in it is sent.
"""

from __future__ import annotations

KEPT_S = 15.0
MOST_KEPT = 4096


class TypedAhead:
    """Keeps it. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._kept = bytearray()
        self.drops = False

    def broke(self, now: float) -> bool:
        """The connection broke off, or another try to mend it failed; whether this begins a break."""
        if self._since is not None:
            return False
        self._since = now
        return True

    def add(self, data: bytes, now: float) -> bool:
        """Keep what was typed; False, and it is dropped, where it is too much or too late."""
        self.drops = self.drops or self._is_old(now) or len(self._kept) + len(data) > MOST_KEPT
        if not self.drops:
            self._kept += data
        return not self.drops

    def gives_up(self, now: float) -> bool:
        """Whether the break lasts too long; nothing is kept then. True once for each break."""
        if not self._is_old(now) or (self.drops and not self._kept):
            return False
        self.drops = True
        self._kept.clear()
        return True

    def take(self) -> bytes:
        """What is kept, which is kept here no longer."""
        kept = bytes(self._kept)
        self._kept.clear()
        return kept

    def mended(self) -> bytes:
        """It is attached again: what is to be typed now."""
        self._since, self.drops = None, False
        return self.take()

    def _is_old(self, now: float) -> bool:
        return self._since is not None and now - self._since >= KEPT_S

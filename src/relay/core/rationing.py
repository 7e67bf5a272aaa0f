"""A token bucket: so many at once, so many a second."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Bucket:
    """What one origin may still ask.

    Attributes:
        most: tokens it holds when full.
        per_second: how quickly it fills.
        at: when `left` was true, monotonic milliseconds.
        left: tokens then; None for a full bucket.
    """

    most: float
    per_second: float
    at: int = 0
    left: float | None = None

    def take(self, now: int) -> bool:
        """Take a token, if there is one.

        Args:
            now: monotonic milliseconds.
        """
        left = self.most if self.left is None else self.left + max(now - self.at, 0) / 1000 * self.per_second
        self.at = now
        self.left = min(left, self.most)
        if self.left < 1:
            return False
        self.left -= 1
        return True

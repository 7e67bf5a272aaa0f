"""A token bucket: how much one peer may ask of this broker at once, and how quickly it comes back."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Allowance:
    """What one peer may still spend.

    Attributes:
        most: what it may spend at once.
        per_s: what comes back in a second.
        since: when it was last looked at, monotonic milliseconds.
        left: what there is; a new one is full.
    """

    most: float
    per_s: float
    since: int
    left: float = -1.0

    def __post_init__(self) -> None:
        if self.left < 0:
            self.left = self.most

    def resize(self, most: float, per_s: float) -> None:
        """Other bounds from now on."""
        self.most, self.per_s = most, per_s
        self.left = min(self.left, most)

    def spend(self, cost: float, now: int) -> bool:
        """Take so much; False, and nothing is taken, where it is not there.

        Args:
            cost: in tokens.
            now: monotonic milliseconds.
        """
        self.left = min(self.left + max(now - self.since, 0) / 1000 * self.per_s, self.most)
        self.since = now
        if cost > self.left:
            return False
        self.left -= cost
        return True

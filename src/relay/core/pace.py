"""How fast something goes, and how long it will yet take: for progress bars. `now` is seconds that only grow."""

from __future__ import annotations

from collections import deque

OVER_S = 5.0
STILL_S = 2.0  # nothing for so long, and nobody knows how long it will take
STEP_S = 0.2


class Pace:
    """The speed over the last five seconds.

    Args:
        done: bytes that were there before it began; they count for no speed.
        now: when it began.
    """

    def __init__(self, done: int, now: float) -> None:
        self._seen: deque[tuple[float, int]] = deque([(now, done)])
        self._moved = now

    def note(self, done: int, now: float) -> None:
        """So many bytes are there now."""
        last, before = self._seen[-1]
        self._moved = now if done > before else self._moved
        if now - last < STEP_S and len(self._seen) > 1:
            self._seen[-1] = (last, done)
        else:
            self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[1][0] >= OVER_S:
            self._seen.popleft()

    def rate(self, now: float) -> float:
        """Bytes a second, lately."""
        since, done = self._seen[0]
        return max(0.0, (self._seen[-1][1] - done) / (now - since)) if now > since else 0.0

    def left_s(self, size: int, now: float) -> float | None:
        """Seconds until all `size` bytes are there at this speed; None where nothing moves."""
        rate = self.rate(now) if now - self._moved < STILL_S else 0.0
        return (size - self._seen[-1][1]) / rate if rate > 0 else None

"""One timer for the next moment at which something is due; armed anew after a sleep, when clocks have moved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LONGEST_S = 3_600.0  # a timer counts time that a wall clock may have jumped over


class Alarm:
    """Rings once the next due moment has come.

    Args:
        clock: milliseconds since 1970.
        ring: called then; it sets the alarm again.
    """

    def __init__(self, clock: Callable[[], int], ring: Callable[[], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._next: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def no_later_than(self, moment: int | None) -> None:
        """Ring at this moment (milliseconds since 1970), unless it rings earlier; None changes nothing."""
        if moment is not None and (self._next is None or moment < self._next):
            self._next = moment
            self.look()

    def look(self) -> None:
        """Arm the timer by the clock as it is now; rings where the moment has come."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._next is None or self._closed:
            return
        left = max(0.0, (self._next - self._clock()) / 1000)
        self._timer = asyncio.get_running_loop().call_later(min(left, LONGEST_S), self._woke)

    def _woke(self) -> None:
        if self._next is not None and self._next <= self._clock():
            self._next = None
            self._ring()
        else:
            self.look()

    def close(self) -> None:
        """Ring no more."""
        self._closed = True
        self.look()

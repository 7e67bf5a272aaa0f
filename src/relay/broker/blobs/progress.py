"""How far something long is, as the lines that a client is told while it lasts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from relay.core.pace import Pace

LOOK_EVERY_S = 0.25
Line = dict[str, Any]


class Meter:
    """How far something is, as the lines of progress say it.

    Args:
        state: what is being done.
        there: bytes that were there before it began; they count for no speed.
    """

    def __init__(self, state: str, there: int = 0) -> None:
        self._state = state
        self._done = self._size = 0
        self._pace = Pace(there, time.monotonic())

    def note(self, done: int, size: int) -> None:
        """So many bytes of so many are done."""
        self._done, self._size = done, size
        self._pace.note(done, time.monotonic())

    def line(self, reason: str = "") -> Line:
        """The line for now.

        Args:
            reason: why nothing moves.
        """
        return line_of(self._state, self._done, self._size, self._pace, reason)


def line_of(state: str, done: int, size: int, pace: Pace | None = None, reason: str = "") -> Line:
    """A line of progress: bytes, bytes a second, seconds left, and why nothing moves."""
    now = time.monotonic()
    rate, left = (pace.rate(now), pace.left_s(size, now)) if pace is not None else (0.0, None)
    shown = {"rate": round(rate), "left_s": None if left is None else round(left, 1)}
    return {"state": state, "done": done, "size": size, **shown, "reason": reason}


async def watched(task: asyncio.Task[Any], look: Callable[[], Line]) -> AsyncIterator[Line]:
    """How a task stands, again and again until it has ended; it is cancelled where nobody looks any more."""
    try:
        await asyncio.wait([task], timeout=LOOK_EVERY_S)
        while not task.done():
            yield look()
            await asyncio.wait([task], timeout=LOOK_EVERY_S)
        if task.exception() is None:
            yield look()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])

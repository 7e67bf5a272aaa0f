"""Noticing that the machine slept, or that its clock was set, whatever else this broker does meanwhile."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

LOOK_EVERY_S = 1.0
LATE_S = 5.0
_log = logging.getLogger(__name__)


class Wakes:
    """Compares the wall clock with one that nobody sets, from its making on: no moment lies between two looks.

    Args:
        woke: called when the machine slept, was stopped for a while, or its clock was set.
    """

    def __init__(self, woke: Callable[[], None]) -> None:
        self._woke = woke
        self._ahead = _ahead()

    async def run(self) -> None:
        """For ever."""
        while True:
            began = time.monotonic()
            await asyncio.sleep(LOOK_EVERY_S)
            was, self._ahead = self._ahead, _ahead()
            if abs(self._ahead - was) > LATE_S or time.monotonic() - began > LOOK_EVERY_S + LATE_S:
                _log.info("the machine slept, or its clock was set: every link is checked")
                self._woke()


def _ahead() -> float:
    return time.time() - time.monotonic()

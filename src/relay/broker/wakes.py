"""Noticing that the machine slept, or that its clock was set, whatever else this broker does meanwhile."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from relay.broker.clocks import elapsed_ms
from relay.store.peers import LEAST_SKEW_MS

LOOK_EVERY_S = 1.0
LATE_S = 5.0
_log = logging.getLogger(__name__)


class Wakes:
    """Compares the wall clock with those that nobody sets, from its making on: no moment lies between two looks.

    Args:
        woke: called when the machine slept, was stopped for a while, or its clock was set.
        clock_was_set: called after it where the clock was set by so much that others show its times by its hello.
    """

    def __init__(self, woke: Callable[[], None], clock_was_set: Callable[[], None]) -> None:
        self._woke = woke
        self._clock_was_set = clock_was_set
        self._ahead, self._ahead_of_boot = _ahead(), _ahead_of_boot()

    async def run(self) -> None:
        """For ever."""
        while True:
            began = time.monotonic()
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                self._look(time.monotonic() - began)
            except Exception:  # the next sleep, and the next setting, are to be noticed all the same
                _log.exception("not all was told that the machine slept, or that its clock was set")

    def _look(self, passed: float) -> None:
        before, self._ahead = self._ahead, _ahead()
        jump = self._ahead - before
        if abs(jump) > LATE_S or passed > LOOK_EVERY_S + LATE_S:
            _log.info("the machine slept, or its clock was set: every link is checked")
            self._woke()
        before, self._ahead_of_boot = self._ahead_of_boot, _ahead_of_boot()
        set_by = self._ahead_of_boot - before
        if abs(set_by) * 1000 >= LEAST_SKEW_MS:
            _log.info("the clock was set by %.0f s: every link is made anew", set_by)
            self._clock_was_set()


def _ahead() -> float:
    return time.time() - time.monotonic()


def _ahead_of_boot() -> float:
    return time.time() - elapsed_ms() / 1000  # which goes on asleep, so that a sleep is no setting

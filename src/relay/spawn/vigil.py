"""The watchdog: how long an attempt has been silent. It does not guess; it asks a person to look."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

SOON_S = 0.2  # after a restart, so that output which came meanwhile is told first


class Vigil:
    """Times the silence of one attempt, on a clock that stands while the machine sleeps.

    Args:
        seconds: how long it may be silent; None for ever.
        silent: called when it has been, with how long its log is.
        spoke: called with how long its log is whenever that has grown while a person was asked to look.
    """

    def __init__(
        self, seconds: float | None, silent: Callable[[int], None], spoke: Callable[[int], None]
    ) -> None:
        self._seconds = seconds
        self._silent = silent
        self._spoke = spoke
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._size = 0
        self._asked = False
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, log: Path | None = None, *, asked: bool = False) -> None:
        """Start timing.

        Args:
            log: of an attempt that an earlier run of this broker began: silent since this was last written.
            asked: a person has been asked to look.
        """
        self._asked = asked
        wait = self._seconds or 0.0
        if log is not None:
            self._size, since = _found(log)
            self._last -= since
            wait = max(wait - since, SOON_S)
        if not asked:
            self._again(wait)

    def heard(self, size: int) -> None:
        """The log has grown to so many bytes."""
        self._last = self._loop.time()
        self._size = max(size, self._size)
        if self._asked:
            self._spoke(size)

    def asks(self, size: int) -> None:
        """A person is being asked to look, since the log had so many bytes."""
        self._asked = True
        if self._size > size:  # it spoke while that was written down
            self._spoke(self._size)

    def goes_on(self) -> None:
        """Nobody need look any more: the silence counts from now."""
        self._asked = False
        self._last = self._loop.time()
        self._again(self._seconds or 0.0)

    def over(self) -> None:
        """The attempt has ended."""
        self._asked = False
        self._seconds = None
        if self._timer is not None:
            self._timer.cancel()

    def _again(self, wait: float) -> None:
        if self._seconds is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(wait, self._due)

    def _due(self) -> None:
        if self._seconds is None or self._asked:
            return
        left = self._last + self._seconds - self._loop.time()
        if left > 0:
            self._again(left)
        else:
            # again after as long: where it could not be asked now, such as before it is known to run
            self._again(self._seconds)
            self._silent(self._size)


def _found(log: Path) -> tuple[int, float]:
    """How long a log is, and for how many seconds it has not been written."""
    try:
        stat = os.lstat(log)
    except OSError:  # it is gone, or its task has put something else there
        return 0, 0.0
    return stat.st_size, max(time.time() - stat.st_mtime, 0.0)

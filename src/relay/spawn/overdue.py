"""Attempts that go on though their time is over: a task may keep its own shim stopped, which would have ended it.

To wake a shim that is awake does nothing. So nothing depends on how well the clocks here and there agree, and nothing
that has started is ended from here: the shim itself ends its task, and writes down that its time was over. But a task
that traces its shim (ptrace(2)) is killed, since nothing else has that go on. Where the record names no shim any more,
which a task can do as well, the tree is swept, and that wakes its shim. And one that has not told of a start may wait
for an exec that does not end (`shim/direct_task.py`): that is ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal

from relay.spawn import tree
from relay.spawn.attempt import Attempt
from relay.spawn.outliving import kill_below
from relay.spawn.shim import processes

LATE_S = 4.0  # the shim's own last step comes at most 3.5 s after the time is over
AGAIN_S, GROWS, LONGEST_S = 0.1, 1.1, 10.0


class Overdue:
    """Wakes the shim of an attempt once its time is over, again and again, since its task may stop it again.

    Args:
        attempt: its folder.
        timeout_s: its awake seconds, counted from now; None for no limit. For who follows it since a restart that is
            later than the shim's own end of it, and never sooner.
        shim: its pid, as it was when this began; 0 where nobody knows it.
    """

    def __init__(self, attempt: Attempt, timeout_s: float | None, shim: int) -> None:
        self._attempt = attempt
        self._shim = shim
        self._pause_s = AGAIN_S
        self._is_over = False
        self._loop = asyncio.get_running_loop()
        # the loop's clock stands still while the machine sleeps, as the shim's does
        self._timer = None if timeout_s is None else self._loop.call_later(timeout_s + LATE_S, self._wake)

    def over(self) -> None:
        """The attempt has ended, or is followed no more."""
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()

    def _wake(self) -> None:
        waking = self._loop.run_in_executor(None, _wake, self._attempt, self._shim)
        waking.add_done_callback(self._again)

    def _again(self, _: asyncio.Future[None]) -> None:
        # only now: a sweep may take two seconds, and there are few threads for the whole of a broker
        if not self._is_over:
            self._timer = self._loop.call_later(self._pause_s, self._wake)
            self._pause_s = min(self._pause_s * GROWS, LONGEST_S)


def _wake(attempt: Attempt, shim: int) -> None:
    with contextlib.suppress(OSError):
        now = attempt.read()
        if now.exit is not None:
            return
        named = now.intent if now.intent is not None and now.intent.boot == processes.boot_id() else None
        if named is None or not processes.signal_exactly(named.shim, named.ticks, signal.SIGCONT):
            tree.sweep(attempt.folder.name, None)
            tree.wake(shim)
        elif now.started is None:
            kill_below(shim, attempt.folder)
        else:
            tree.wake(named.shim)

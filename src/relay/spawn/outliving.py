"""What goes on though its record says that it has ended: a task may write such an end into its own record.

A shim lets go of the lock of an attempt as soon as it has written how that ended. Where the lock is still held a moment
later, that end was none of its words: what is left of the task is ended, and the shim then writes what is true.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from relay.core.values import frozen
from relay.spawn import tree
from relay.spawn.attempt import Attempt
from relay.spawn.shim import processes
from relay.spawn.shim.folder import LOCK
from relay.spawn.shim.tree import signal_all

if TYPE_CHECKING:
    from pathlib import Path

AFTER_S = 1.0
WITHIN_S = 3.0
_AGAIN_S = 0.05


class Outliving:
    """Looks at each attempt that has ended, and once more a second later where its lock is still held.

    Attributes:
        shims: the attempts that are still to let go of it, with the pid of the shim of each: what descends from that
            one is no person's.
    """

    def __init__(self) -> None:
        self.shims: dict[str, int] = {}
        self._ended: deque[_Ended] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._is_open = True

    def look_at(self, folder: Path, shim: int, *, launched: bool) -> None:
        """An attempt has ended, by its record.

        Args:
            folder: its folder.
            shim: the pid of its shim.
            launched: whether who started it said so; else only the record does, which a task can write.
        """
        if not self._is_open or not is_held(folder):
            return
        self.shims[folder.name] = shim
        due = asyncio.get_running_loop().time() + AFTER_S
        self._ended.append(_Ended(due, folder, shim if launched else None))
        # one timer for all: each by itself would wake the broker once more for each attempt
        if self._timer is None:
            self._arm()

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_at(self._ended[-1].due, self._look) if self._ended else None

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        while self._ended and self._ended[0].due <= loop.time():
            each = self._ended.popleft()
            if is_held(each.folder):
                ending = loop.run_in_executor(None, end_what_is_left, each.folder, each.shim)
                ending.add_done_callback(partial(self._over, each.folder))
            else:
                self.shims.pop(each.folder.name, None)
        self._arm()

    def _over(self, folder: Path, _: asyncio.Future[None]) -> None:
        if not is_held(folder):
            self.shims.pop(folder.name, None)  # once: an attempt that is taken up again is looked at again

    def close(self) -> None:
        """Look at none any more."""
        self._is_open = False
        if self._timer is not None:
            self._timer.cancel()


@frozen
class _Ended:
    due: float
    folder: Path
    shim: int | None


def is_held(folder: Path) -> bool:
    """Whether somebody still has the lock of an attempt."""
    try:
        # not for writing: that its closing is no event to who watches the folder
        lock = os.open(folder / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def end_what_is_left(folder: Path, shim: int | None) -> None:
    """Kill what is left of an attempt until its shim lets go of it; blocks for some seconds at most."""
    deadline = time.monotonic() + WITHIN_S
    while is_held(folder) and time.monotonic() < deadline:
        if shim is not None:
            kill_below(shim, folder)
        with contextlib.suppress(OSError):
            tree.sweep(folder.name, None)
            _wake(folder)
        time.sleep(_AGAIN_S)


def kill_below(shim: int, folder: Path) -> None:
    """Kill all that descends from a shim, as long as it has the lock of this attempt."""
    table = processes.table()
    found = table.get(shim)
    # its session: else it is gone, and another process has its pid. Held still: else it may have let go late, for a
    # disk that is busy, and what is below it by now belongs to another attempt
    if found is not None and found.session == shim and is_held(folder):
        signal_all([table[pid] for pid in processes.descendants(table, {shim})], signal.SIGKILL)


def _wake(folder: Path) -> None:
    """Have the shim go on where its task has stopped it. That the record names it is enough: to wake harms nobody."""
    intent = Attempt(folder).read().intent
    if intent is not None and intent.boot == processes.boot_id():
        processes.signal_exactly(intent.shim, intent.ticks, signal.SIGCONT)

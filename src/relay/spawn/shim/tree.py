"""The shim's view of the task's tree: everything below it, and everything that carries its mark."""

from __future__ import annotations

import os
import select
import signal
import time
from itertools import count

from . import kernel, processes

TYPE_CHECKING = False  # the checker takes the name for typing's, which costs 3 ms to import
if TYPE_CHECKING:
    import resource
    from collections.abc import Callable, Set

_REAPED_AT_ONCE = 200
_HUNT_S = 0.05
_HUNT_PASSES = 20
"""At least: on a processor that hundreds of others want 50 ms are over before the second one."""
_LOOK_AGAIN_S = 0.001


class Reaper:
    """Takes in the children that have ended, adopted ones among them: some hundred at once, the rest a moment later.

    Where something forks and leaves without end there is always one more, and a stop or a timeout would not be seen.

    Args:
        ended: told of each: pid, status of wait(2), what it used.

    Attributes:
        childless: no child is left, which proves that no process of the tree is.
        teems: there were more than are taken in at once.
    """

    __slots__ = ("_ended", "childless", "teems")

    def __init__(self, ended: Callable[[int, int, resource.struct_rusage], None]) -> None:
        self._ended = ended
        self.childless = self.teems = False

    def __call__(self) -> None:
        for _ in range(_REAPED_AT_ONCE):
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                self.childless = True
                return
            if pid == 0:
                return
            self._ended(pid, status, usage)
        self.teems = True
        signal.raise_signal(signal.SIGCHLD)


def members(mark: bytes, session: int | None) -> list[processes.Process]:
    """The living processes of the tree.

    Args:
        mark: the environment entry of the attempt; it finds what another process started for the task.
        session: the task's session, where it is known; it finds orphans where nobody adopts them.
    """
    table = processes.table()
    pids = processes.descendants(table, {os.getpid()})
    others = table.keys() - pids
    pids |= {pid for pid in others if table[pid].session == session} | processes.carriers(others, mark)
    pids |= processes.descendants(table, pids)
    return [table[pid] for pid in pids - {os.getpid()} if table[pid].alive]


def signal_all(tree: list[processes.Process], number: int) -> None:
    """Signal each, who began first before what it began: a shell whose command ends goes on with the next one.

    One that changed its user is left for the survivors' count.
    """
    for process in sorted(tree, key=lambda each: (each.ticks, each.pid)):
        try:
            processes.send(process, number)
        except PermissionError:
            continue


def ask_all(tree: list[processes.Process], number: int) -> None:
    """Signal each, and have it go on: what somebody has stopped hears of nothing before, and is to clear up too."""
    signal_all(tree, number)
    signal_all(tree, signal.SIGCONT)


def kill(mark: bytes, session: int | None, reap: Callable[[], object]) -> None:
    """Kill the tree.

    Args:
        mark, session: as `members` has them.
        reap: takes in the children that have ended.
    """
    if kernel.ADOPTS:
        # first, for what forks without end keeps the processor from who reads the table of all
        hunt(reap)
    signal_all(members(mark, session), signal.SIGKILL)
    if kernel.ADOPTS:
        hunt(reap)


def hunt(reap: Callable[[], object], spared: Set[int] = frozenset()) -> None:
    """Kill each child of this process, and each that becomes one, until none is left or its time is over.

    What forks and ends faster than the process table can be read is never caught by reading it. As an orphan it
    becomes a child of its subreaper, whose children are one small read; and a child's pid is nobody else's until it
    is reaped.

    Args:
        reap: takes in the children that have ended.
        spared: children that are left alone.
    """
    deadline = time.monotonic() + _HUNT_S
    seen: set[int] = set()
    for passed in count():
        reap()
        found = processes.children() - spared
        if not found or (passed >= _HUNT_PASSES and time.monotonic() > deadline):
            return
        for pid in found:
            _kill_child(pid)
        if found <= seen:
            # Dying, or stuck in the kernel.
            select.select([], [], [], _LOOK_AGAIN_S)
        seen |= found


def _kill_child(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return

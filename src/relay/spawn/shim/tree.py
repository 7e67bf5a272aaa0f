"""The shim's view of the task's tree: everything below it, and everything that carries its mark."""

from __future__ import annotations

import os
import select
import signal
import time

from . import kernel, processes

TYPE_CHECKING = False  # the checker takes the name for typing's, which costs 3 ms to import
if TYPE_CHECKING:
    from collections.abc import Callable, Set

_HUNT_S = 0.05
_LOOK_AGAIN_S = 0.001


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
    """Kill each child of this process, and each that becomes one, until none is left or 50 ms have passed.

    What forks and ends faster than the process table can be read is never caught by reading it. As an orphan it
    becomes a child of its subreaper, whose children are one small read; and a child's pid is nobody else's until it
    is reaped.

    Args:
        reap: takes in the children that have ended.
        spared: children that are left alone.
    """
    deadline = time.monotonic() + _HUNT_S
    seen: set[int] = set()
    while True:
        reap()
        found = processes.children() - spared
        if not found or time.monotonic() > deadline:
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

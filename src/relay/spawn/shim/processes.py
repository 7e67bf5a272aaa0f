"""Processes as the system shows them: who descends from whom, and whether a pid is still the same process.

Linux reads /proc. Elsewhere `ps` answers, slower and to the second; it has no boot id, for which the
boot time stands.
"""

from __future__ import annotations

import os
import signal
import sys
from functools import cache

TYPE_CHECKING = False  # the checker takes the name for typing's, which costs 3 ms to import
if TYPE_CHECKING:
    from collections.abc import Iterable

_LINUX = sys.platform == "linux"
_DEAD = "ZXx"
_ZOMBIE = "Z"
_HEADLESS = "H"
"""No state of the kernel's: the first thread has ended, which reads like a zombie, and others go on."""

if not _LINUX:  # pragma: no cover - subprocess costs 7 ms at import, so Linux does not pay for it
    from . import processes_ps


class Process:
    """One row of the process table. The start time `ticks` and the pid together name it for good."""

    __slots__ = ("parent", "pid", "session", "state", "ticks")

    def __init__(self, pid: int, parent: int, session: int, state: str, ticks: int) -> None:
        self.pid = pid
        self.parent = parent
        self.session = session
        self.state = state
        self.ticks = ticks

    @property
    def alive(self) -> bool:
        """Whether it still runs: a zombie does not."""
        return self.state not in _DEAD


@cache
def boot_id() -> str:
    """A name of this boot; pids and ticks mean nothing in another."""
    if not _LINUX:
        return processes_ps.boot_time()
    return _read("/proc/sys/kernel/random/boot_id").decode().strip()


def look_up(pid: int) -> Process | None:
    """The process with this pid, None where there is none (a zombie is one)."""
    if not _LINUX:
        return table().get(pid)
    try:
        return _parse(pid, _stat(pid))
    except (FileNotFoundError, ProcessLookupError):
        return None


def ticks(pid: int) -> int:
    """When the process with this pid started, 0 where there is none; cheaper than `look_up`."""
    if not _LINUX:
        found = look_up(pid)
        return found.ticks if found else 0
    try:
        return int(_stat(pid).rpartition(b")")[2].split(None, 20)[19])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def same(pid: int, ticks: int) -> bool:
    """Whether `pid` is alive and still the process that started at `ticks`."""
    found = look_up(pid)
    return found is not None and found.alive and found.ticks == ticks


def table() -> dict[int, Process]:
    """All processes, zombies included."""
    if not _LINUX:
        return {row[0]: Process(*row) for row in processes_ps.rows()}
    found = (look_up(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return {process.pid: process for process in found if process}


def children() -> set[int]:
    """The pids of this process's own children, zombies included; one small read where the kernel lists them."""
    me = os.getpid()
    if _LINUX:
        try:
            return {int(word) for word in _read(f"/proc/{me}/task/{me}/children").split()}
        except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
            pass
    return {pid for pid, process in table().items() if process.parent == me}


def descendants(processes: dict[int, Process], ancestors: set[int]) -> set[int]:
    """All pids below `ancestors`, without them."""
    children: dict[int, list[int]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process.pid)
    below: set[int] = set()
    queue = list(ancestors)
    while queue:
        fresh = set(children.get(queue.pop(), ())) - below - ancestors
        below |= fresh
        queue += fresh
    return below


def carriers(pids: Iterable[int], variable: bytes) -> set[int]:
    """Those in whose environment `variable` (`NAME=value`) stood at exec; not those where it cannot be read."""
    if not _LINUX:
        return processes_ps.carriers(variable) & set(pids)
    return {pid for pid in pids if _carries(pid, variable)}


def _carries(pid: int, variable: bytes) -> bool:
    try:
        found = _read(f"/proc/{pid}/environ") or _of_other_threads(pid)
    except OSError:
        return False
    return variable in found and variable in found.split(b"\0")


def _of_other_threads(pid: int) -> bytes:
    # A first thread that has ended has no environment to show, nor has a thread of the kernel's.
    threads = [name for name in os.listdir(f"/proc/{pid}/task") if name != str(pid)]
    return _read(f"/proc/{pid}/task/{threads[-1]}/environ") if threads else b""


def send(process: Process, number: int) -> bool:
    """Signal this very process, never another that got its pid since. False where it is gone."""
    return signal_exactly(process.pid, process.ticks, number)


def handle_of(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends; None where the system has none, or it is gone."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def signal_exactly(pid: int, ticks: int, number: int) -> bool:
    """Signal `pid` if it is alive and started at `ticks`. False where it is gone; raises PermissionError."""
    if not hasattr(os, "pidfd_open"):
        return _signal_unguarded(pid, ticks, number)
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        # Ticks are read after the handle is open: if they fit, the handle cannot mean an earlier process.
        return same(pid, ticks) and _signal_handle(handle, number)
    finally:
        os.close(handle)


def wake_with(pid: int, ticks: int, number: int) -> None:
    """Signal a process as `signal_exactly`, and have it go on where somebody has stopped it."""
    signal_exactly(pid, ticks, number)
    signal_exactly(pid, ticks, signal.SIGCONT)


def _signal_handle(handle: int, number: int) -> bool:
    try:
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    return True


def _signal_unguarded(pid: int, ticks: int, number: int) -> bool:
    if not same(pid, ticks):
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _parse(pid: int, stat: bytes) -> Process | None:
    # The name may hold spaces and brackets: fields count from the last bracket (proc(5)).
    fields = stat[stat.rfind(b")") + 2 :].split(None, 20)
    if len(fields) < 20:
        return None
    state = fields[0].decode()
    if state == _ZOMBIE and fields[17] not in (b"0", b"1"):  # none where it was collected just now
        state = _HEADLESS
    return Process(pid, int(fields[1]), int(fields[3]), state, int(fields[19]))


def _stat(pid: int) -> bytes:
    # One read has all of it (proc(5)): a second one would be felt where all processes are looked at.
    fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)


def _read(path: str) -> bytes:
    # A third of the calls that `open` makes; a launch reads three such files.
    fd = os.open(path, os.O_RDONLY)
    try:
        pieces = []
        while piece := os.read(fd, 65536):
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        os.close(fd)

"""Control groups, as far as a shim reads them: how often memory ran out in one, and what limits it has.

Both versions: the memory controller stands either in the one tree (v2) or in a tree of its own (v1).
"""

from __future__ import annotations

import os
import signal

_ROOT = "/sys/fs/cgroup"
_SHELLS_WORD = 128 + signal.SIGKILL
"""How a shell exits whose last command was ended by SIGKILL."""


def folder(pid: int, controller: str) -> str | None:
    """The folder of the group that limits a process in this respect; None where there is none, or no such system."""
    try:
        lines = _read(f"/proc/{pid}/cgroup").decode().splitlines()
    except OSError:
        return None
    unified = None
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return f"{_ROOT}/{controller}{path}"
        if number == "0":
            unified = path
    return None if unified is None else f"{_unified_root()}{unified}"


def _unified_root() -> str:
    return _ROOT if os.path.exists(f"{_ROOT}/cgroup.controllers") else f"{_ROOT}/unified"


def memory_limit(pid: int) -> int | None:
    """Bytes that the process's group may use; None where nothing limits it."""
    group = folder(pid, "memory")
    for name in ("memory.max", "memory.limit_in_bytes"):
        text = _text(f"{group}/{name}")
        if text.isdigit():
            return int(text)
    return None


def cpu_limit(pid: int) -> float | None:
    """Processors that the process's group may use; None where nothing limits it."""
    group = folder(pid, "cpu")
    words = _text(f"{group}/cpu.max").split() or [
        _text(f"{group}/cpu.cfs_quota_us"),
        _text(f"{group}/cpu.cfs_period_us"),
    ]
    if len(words) != 2 or not (words[0].isdigit() and words[1].isdigit()):
        return None
    return int(words[0]) / int(words[1])


class Kills:
    """How often the kernel ended a process of a group for want of memory, and whether that explains an end.

    Args:
        pid: a process of the group.
        own: nothing but the task is in it: any failure then may come from a kill in it.
    """

    __slots__ = ("_before", "_fds", "_own")

    def __init__(self, pid: int, *, own: bool = False) -> None:
        self._own = own
        group = folder(pid, "memory")
        # The parent's stands in for it (v2 counts upwards): a manager removes a group when its last process is gone.
        groups = [group, os.path.dirname(group)] if group and own else [group]
        names = [f"{each}/{name}" for each in groups for name in ("memory.events", "memory.oom_control")]
        self._fds = [fd for name in names if (fd := _opened(name)) is not None]
        self._before: list[bytes] = []

    def mark(self) -> None:
        """Count from here."""
        self._before = [_pread(fd) for fd in self._fds]

    def explain(self, status: int) -> bool:
        """Whether a task that ended with this status of wait(2) was a victim of the kernel's, or suffered from one."""
        code = os.waitstatus_to_exitcode(status)
        if code == 0:
            return False
        killed = code in (-signal.SIGKILL, _SHELLS_WORD)
        for number, (fd, before) in enumerate(zip(self._fds, self._before, strict=True)):
            if now := _pread(fd):
                # Others are in a group that is not the task's own, and its parent's count has theirs too.
                return (killed or (self._own and number == 0)) and _count(now) > _count(before)
        return False


def _count(text: bytes) -> int:
    words = text.split()
    return int(words[words.index(b"oom_kill") + 1]) if b"oom_kill" in words else 0


def _opened(path: str) -> int | None:
    try:
        return os.open(path, os.O_RDONLY)
    except OSError:
        return None


def _pread(fd: int) -> bytes:
    try:
        return os.pread(fd, 4096, 0)
    except OSError:  # the group is gone
        return b""


def _text(path: str) -> str:
    try:
        return _read(path).decode().strip()
    except OSError:
        return ""


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.read(fd, 65536)
    finally:
        os.close(fd)

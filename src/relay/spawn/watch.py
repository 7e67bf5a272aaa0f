"""Waking up when an attempt's folder changes or its shim ends, without polling.

Linux: one inotify descriptor for the whole process, one watch an attempt folder, one pidfd a shim. Elsewhere, or
where the system's limit on watches is reached, a timer of 0.25 s wakes the observers that need it, and no other
code differs: what a wake-up means is always read from the folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import struct
import sys
from typing import TYPE_CHECKING

from relay.spawn.shim import processes
from relay.spawn.shim.folder import LOG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_EVENT = struct.Struct("iIII")
_IN_MODIFY = 0x2
_IN_CLOSE_WRITE = 0x8
_POLL_S = 0.25
_LINGER_S = 0.05
"""How long a folder is watched in vain: the kernel takes its time to let go of one, and an end has to be told."""
_REST_S = 0.005
"""How long nothing is looked at where output comes fast: an end is told so much later, at most."""
_MANY = 8
"""Pieces of output in a row, within twice that of each other, are fast: the end of a short task is not kept waiting."""
_LOG = LOG.encode()
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Changes:
    """What one observer waits for."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def poke(self) -> None:
        """Wake the observer, now or at its next wait."""
        self._event.set()

    async def wait(self, timeout_s: float | None = None) -> None:
        """Until something may have changed since the last return, or the timeout is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        self._event.clear()


class Watcher:
    """The process's one watch. Made and closed within one event loop, shared by all attempts."""

    def __init__(self) -> None:
        self._fd: int | None = None
        self._watched: dict[int, set[Changes]] = {}
        self._idle: list[int] = []
        self._polled: dict[Changes, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._looked_at = 0.0
        self._in_a_row = 0

    def close(self) -> None:
        """Let go of the descriptor; observers still waiting are not woken."""
        if self._fd is not None:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = None
        if self._timer:
            self._timer.cancel()

    @contextlib.contextmanager
    def folder(self, folder: Path) -> Iterator[Changes]:
        """Watch the files of a folder. The yielded `Changes` is also what `process` pokes."""
        changes = Changes()
        number = self._watch(os.fsencode(folder))
        if number is None:
            with self._polling(changes):
                yield changes
            return
        self._watched.setdefault(number, set()).add(changes)
        try:
            yield changes
        finally:
            self._watched[number].discard(changes)
            self._unwatch_later(number)

    @contextlib.contextmanager
    def process(self, pid: int, changes: Changes) -> Iterator[Callable[[], bool]]:
        """Poke `changes` when the process ends. What is yielded tells whether it has ended."""
        handle = processes.handle_of(pid)
        if handle is None:
            with self._polling(changes):
                yield lambda: not _lives(pid)
            return
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(handle, _ended, handle, ended, changes)
        try:
            yield ended.is_set
        finally:
            loop.remove_reader(handle)
            os.close(handle)

    def _watch(self, folder: bytes) -> int | None:
        if _libc is None:
            return None
        if self._fd is None:
            self._open()
        number: int = _libc.inotify_add_watch(self._fd, folder, _IN_MODIFY | _IN_CLOSE_WRITE)
        return None if number < 0 else number

    def _open(self) -> None:
        assert _libc is not None
        fd: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if fd >= 0:
            self._fd = fd
            asyncio.get_running_loop().add_reader(fd, self._read)
        # Without one every add_watch fails, and the timer serves.

    def _unwatch_later(self, number: int) -> None:
        # one timer for all of them: each by itself would wake the broker once more for each attempt
        self._idle.append(number)
        if len(self._idle) == 1:
            asyncio.get_running_loop().call_later(_LINGER_S, self._unwatch_idle)

    def _unwatch_idle(self) -> None:
        idle, self._idle = self._idle, []
        for number in idle:
            self._unwatch(number)

    def _unwatch(self, number: int) -> None:
        if not self._watched.get(number, True):
            del self._watched[number]
            if _libc is not None and self._fd is not None:
                _libc.inotify_rm_watch(self._fd, number)

    def _read(self) -> None:
        assert self._fd is not None
        events = os.read(self._fd, 65536)
        at, logs_only = 0, True
        while at < len(events):
            number, _, _, length = _EVENT.unpack_from(events, at)
            at += _EVENT.size
            logs_only &= events.startswith(_LOG, at)
            at += length
            self._poke(number)
        now = asyncio.get_running_loop().time()
        self._in_a_row = self._in_a_row + 1 if logs_only and now - self._looked_at < 2 * _REST_S else 0
        self._looked_at = now
        if self._in_a_row >= _MANY:
            self._rest()

    def _rest(self) -> None:
        """Output comes fast: what more of it comes in the next moment is one wake-up, and not one a piece."""
        loop, fd = asyncio.get_running_loop(), self._fd

        def go_on() -> None:
            if fd is not None and fd == self._fd:
                loop.add_reader(fd, self._read)

        if fd is not None:
            loop.remove_reader(fd)
            loop.call_later(_REST_S, go_on)

    def _poke(self, number: int) -> None:
        # -1 is the queue's overflow: anybody may have missed something.
        woken = set().union(*self._watched.values()) if number < 0 else self._watched.get(number, set())
        for changes in woken:
            changes.poke()

    @contextlib.contextmanager
    def _polling(self, changes: Changes) -> Iterator[None]:
        self._polled[changes] = self._polled.get(changes, 0) + 1
        self._tick()
        try:
            yield
        finally:
            self._polled[changes] -= 1
            if not self._polled[changes]:
                del self._polled[changes]

    def _tick(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        for changes in self._polled:
            changes.poke()
        if self._polled:
            self._timer = asyncio.get_running_loop().call_later(_POLL_S, self._tick)


def _ended(handle: int, ended: asyncio.Event, changes: Changes) -> None:
    # The handle stays readable: one word is enough.
    asyncio.get_running_loop().remove_reader(handle)
    ended.set()
    changes.poke()


def _lives(pid: int) -> bool:
    found = processes.look_up(pid)
    return found is not None and found.alive

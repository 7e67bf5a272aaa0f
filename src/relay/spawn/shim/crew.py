"""The shims of a fork server: who owns an attempt, and who has ended one and waits for the next.

A fresh shim copies nearly every page that it works with. One that has run a task has them, so that it is kept and given
another: it owns one attempt at a time, from its lock to its exit record, and what it is told between two of them comes
over its *line*, a socket whose end of file sends it away. It says there when it is free, and only then is it given
anything. One that dies with a launch unread is as harmless as one that dies before its lock: nothing was promised.
So one that does not take its launch, since somebody stopped or traces it, is ended under the attempt's lock, and the
broker finds what it finds after any such death.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time

from . import folder, run, spec
from .cgroups import Kills
from .last_word import WAIT_MS, LastWord
from .wakeup import Wakeup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import KeysView

FREE = b"f"
MOST_FREE = 16
MOST_RUNS = 100
"""What nobody collects, with the collector off, goes with the shim."""
LONGEST_LAUNCH = 32768
"""Bytes that a line takes at once, whoever reads it."""
REST_S = 5.0
"""How long nothing was launched before all but one are sent away."""
TAKES_S = 5.0
"""How long a launch may lie unread; looked at once."""
_CHUNK = 65536


class Crew:
    """The shims of one fork server.

    Args:
        poll: of the server; lines are registered with it.
    """

    def __init__(self, poll: select.poll) -> None:
        self._poll = poll
        self._lines: dict[int, int] = {}
        self._pids: dict[int, int] = {}
        self._free: list[int] = []
        self._given: dict[int, tuple[str, float]] = {}
        self._used_at = 0.0
        self._is_over = False

    @property
    def pids(self) -> KeysView[int]:
        """All of them."""
        return self._lines.keys()

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def at_work(self) -> int:
        """How many own an attempt."""
        return len(self._lines) - len(self._free)

    def give(self, launch: bytes, attempt: str) -> int | None:
        """Give a launch to one that is free.

        Args:
            launch: packed.
            attempt: its folder.

        Returns:
            Its pid; None where none is free, or the launch is too long for a line.
        """
        self._used_at = time.monotonic()
        while self._free and len(launch) <= LONGEST_LAUNCH:
            pid = self._free.pop()
            try:
                os.write(self._lines[pid], launch)
            except OSError:
                continue  # it has died, which is still to be heard
            self._given[pid] = attempt, self._used_at + TAKES_S
            return pid
        return None

    def add(self, pid: int, line: int, attempt: str) -> None:
        """Take in one that was just forked and has the launch of an attempt, by its folder."""
        self._lines[pid] = line
        self._given[pid] = attempt, time.monotonic() + TAKES_S
        self._pids[line] = pid
        self._poll.register(line, select.POLLIN)

    def hear(self, line: int) -> None:
        """Something came on a line: its shim is free, or is about to be found dead."""
        pid = self._pids.get(line)
        if pid is None:
            return
        self._given.pop(pid, None)
        if _read(line) != FREE:
            self._hang_up(pid)
        elif self._is_over or len(self._free) >= MOST_FREE:
            self._hang_up(pid)
        else:
            self._free.append(pid)

    def _hang_up(self, pid: int) -> None:
        """It goes by itself, and stays one of us until it has gone."""
        line = self._lines[pid]
        if line >= 0:
            self._poll.unregister(line)
            os.close(line)
            del self._pids[line]
            self._lines[pid] = -1

    def _send_away(self, keep: int) -> None:
        """All who are free but so many."""
        while len(self._free) > keep:
            pid = self._free.pop()
            self._hang_up(pid)
            os.kill(pid, signal.SIGCONT)  # one that somebody stopped would not hear of it, and stay for ever

    def gone(self, pid: int) -> bool:
        """Whether the process that has ended was one of us; it is no more."""
        if pid not in self._lines:
            return False
        self._hang_up(pid)
        del self._lines[pid]
        self._given.pop(pid, None)
        if pid in self._free:
            self._free.remove(pid)
        return True

    def pause_ms(self) -> int | None:
        """After how long `tend` has something to do; None where it has nothing."""
        due = [each for _, each in self._given.values()][:1]
        if len(self._free) > 1:
            due.append(self._used_at + REST_S)
        return max(0, int((min(due) - time.monotonic()) * 1000) + 1) if due else None

    def tend(self) -> None:
        """Look after launches that may lie unread, and send away what has not been needed for a while."""
        now = time.monotonic()
        while self._given:
            pid, (attempt, due) = next(iter(self._given.items()))
            if now < due:
                break
            del self._given[pid]
            if not os.path.exists(attempt):  # not decided on yet, so that it cannot be begun
                self._given[pid] = attempt, now + TAKES_S
            elif _ended_unread(pid, attempt):
                self._send_away(0)  # what stopped one may have stopped others
        if now >= self._used_at + REST_S:
            self._send_away(1)

    def disband(self) -> None:
        """Nothing more will be launched: whoever is free goes, and the others when they are."""
        self._is_over = True
        self._send_away(0)

    def forget(self) -> None:
        """In a fresh shim: the lines of the others are not for it."""
        for line in self._pids:
            os.close(line)


def _ended_unread(pid: int, attempt: str) -> bool:
    """End a shim that has not begun its attempt; whether it had not. Whoever has the lock keeps it from beginning."""
    try:
        lock = folder.take_lock(attempt)
    except OSError:
        return False
    if lock is None:
        return False
    try:
        if run.is_promised(attempt):
            return False
        os.kill(pid, signal.SIGKILL)
        return True
    except OSError:
        return False
    finally:
        os.close(lock)


def pair() -> tuple[int, int]:
    """A new line: the fork server's end, and the shim's."""
    ours, theirs = socket.socketpair()
    return ours.detach(), theirs.detach()


def work(launch: spec.Spec, line: int, wakeup: Wakeup, kills: Kills) -> int:
    """Be a shim for this launch, and for those that come after it; the exit status."""
    run.settle()
    last = LastWord()
    try:
        return _work(launch, line, wakeup, kills, last)
    finally:
        last.settle()


def _work(launch: spec.Spec, line: int, wakeup: Wakeup, kills: Kills, last: LastWord) -> int:
    following: spec.Spec | None = launch
    for left in range(MOST_RUNS, 0, -1):
        if following is None:
            break
        status = run.run(following, wakeup, kills, last)
        if status != run.FREE:
            return status
        following = _following(line, last) if left > 1 else None
    return run.DONE


def _following(line: int, last: LastWord) -> spec.Spec | None:
    """Say that this shim is free, and wait for the next launch; None where there is none to come."""
    try:
        os.write(line, FREE)
    except OSError:  # the fork server is gone
        return None
    if not _has_come(line, WAIT_MS):
        last.settle()
    return _launch(line)


def _launch(line: int) -> spec.Spec | None:
    """The next launch; None where none is to come."""
    buffer = bytearray()
    while (launch := spec.unpack(buffer)) is None:
        data = _read(line)
        if not data:
            return None
        buffer += data
    return launch


def _has_come(line: int, within_ms: int) -> bool:
    waiting = select.poll()
    waiting.register(line, select.POLLIN)
    return bool(waiting.poll(within_ms))


def _read(line: int) -> bytes:
    try:
        return os.read(line, _CHUNK)
    except OSError:
        return b""

"""Keeping the machine awake while a task runs: a lock of logind's by systemd-inhibit, or caffeinate on macOS.

The program that holds it is the shim's child and lives as long as a pipe from the shim is open, so that it goes with
the shim, however that ends.
"""

from __future__ import annotations

import os
import select
import signal
import sys

NO_PROGRAM = "there is no systemd-inhibit or caffeinate here"
LET_GO = "what held the lock ended before the task"
_WAIT_MS = 2_000
_MOST_WORDS = 60
"""Bytes of a refusal that are kept: the record's slot has to hold them."""
_HOLD = "echo; read _"
"""What the lock is held for: tells that it is held, then waits until the pipe closes."""


class Awake:
    """The lock, or why there is none.

    Attributes:
        fault: why the machine may fall asleep; empty where it is kept awake.
        pid: of who holds the lock; 0 where nobody does.
    """

    __slots__ = ("_hold", "fault", "pid")

    def __init__(self, name: str, path: str, task: int) -> None:
        """Take the lock; returns when it is held or refused, after 2 s at most."""
        self.pid = 0
        self.fault = ""
        self._hold: int | None = None
        argv = _command(name, path, task)
        if argv is None:
            self.fault = NO_PROGRAM
            return
        self._start(argv, path)

    def _start(self, argv: list[str], path: str) -> None:
        wait, hold = os.pipe()
        said, say = os.pipe()
        actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate((wait, say, say))]
        default = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
        try:
            self.pid = os.posix_spawn(
                argv[0], argv, {"PATH": path}, file_actions=actions, setsid=True, setsigmask=[], setsigdef=default
            )
        except OSError as fault:
            self.fault = str(fault.strerror)
        os.close(wait)
        os.close(say)
        self._hold = hold
        if self.pid and sys.platform == "linux":
            self.fault = _refusal(said)
        os.close(said)
        if self.fault:
            self.release()

    def ended(self, pid: int) -> None:
        """A child has ended: where that held the lock, which was not released, the machine may sleep from now on."""
        # caffeinate goes by the task's end, and may be heard of first
        if pid == self.pid and self._hold is not None and sys.platform == "linux":
            self.fault = LET_GO

    def release(self) -> None:
        """Let the machine sleep again."""
        if self._hold is not None:
            os.close(self._hold)
            self._hold = None


def can_hold(path: str) -> bool:
    """Whether a task's PATH has a program that holds such a lock; whether the machine grants it shows when it runs."""
    return _command("", path, 0) is not None


def _command(name: str, path: str, task: int) -> list[str] | None:
    if (program := _found("systemd-inhibit", path)) is not None:
        options = ["--what=sleep:idle", "--who=relay", f"--why=task {name} runs", "--mode=block"]
        return [program, *options, "/bin/sh", "-c", _HOLD]
    if (program := _found("caffeinate", path)) is not None:
        return [program, "-is", "-w", str(task)]
    return None


def _found(program: str, path: str) -> str | None:
    paths = (f"{folder}/{program}" for folder in path.split(":") if folder.startswith("/"))
    return next((each for each in paths if os.access(each, os.X_OK)), None)


def _refusal(said: int) -> str:
    """Empty once the lock is held; else what was said instead."""
    poll = select.poll()
    poll.register(said, select.POLLIN)
    if not poll.poll(_WAIT_MS):
        return "systemd-inhibit gave no answer within 2 s"
    text = os.read(said, 4096)
    if text == b"\n":
        return ""
    words = " ".join(text.decode("ascii", "replace").split()).replace("\N{REPLACEMENT CHARACTER}", "?")
    return (words or "systemd-inhibit ended at once")[:_MOST_WORDS]

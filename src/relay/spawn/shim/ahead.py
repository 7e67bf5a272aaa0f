"""A task's process, forked before there is a task: what is launched next need not wait for a fork.

Forking a process of Python's takes a millisecond where the shim and the child copy what they write to, and a short
spawn is a few of them (measured: 8.2 ms from request to result, 1.4 of them until the child was ready). So the shim
that is free forks the next child meanwhile. It is a process of nothing: no attempt, no mark, no session to share; it
is told by a pipe what to become, waits there to be released as any other, and dies with the shim.
"""

from __future__ import annotations

import marshal
import os
import signal
import struct

from . import processes
from .spec import Spec
from .task import CANNOT_EXEC, Task, candidates, environment, pipes, settle, turn_into

TYPE_CHECKING = False  # the checker takes the name for typing's, which costs 3 ms to import
if TYPE_CHECKING:
    from typing import NoReturn

    from .last_word import LastWord

_LENGTH = struct.Struct("!I")


def serves(spec: Spec) -> bool:
    """Whether a child that was forked ahead can become this: its pipes are made, and it has no input."""
    return spec.is_plain and spec.stdin is None


class Ahead:
    """A child that waits for what it is to become.

    Args:
        last: what its parent has open of the attempt before.
    """

    __slots__ = ("_failure", "_go", "_outputs", "_pid", "_ticks")

    def __init__(self, last: LastWord) -> None:
        wait, self._go = os.pipe()
        self._failure, fail = os.pipe()
        streams = pipes(False)
        self._outputs = streams.outputs
        shim = os.getpid()
        try:
            self._pid = os.fork()
        except OSError:
            self._close(wait, fail, *streams.theirs, self._go, self._failure, *self._outputs)
            raise
        if self._pid == 0:
            os.close(self._go)
            last.let_go()
            _wait(shim, wait, fail, streams.theirs)
        self._ticks = processes.ticks(self._pid)
        self._close(wait, fail, *streams.theirs)

    def become(self, spec: Spec) -> Task | None:
        """Tell it what to become once it is released; None where it has died, and is forgotten.

        Args:
            spec: a launch that it `serves`.
        """
        words = marshal.dumps((spec.cwd, candidates(spec), spec.argv, environment(spec)))
        try:
            os.write(self._go, _LENGTH.pack(len(words)) + words)
        except BrokenPipeError:
            self.leave()
            return None
        return Task(self._pid, self._go, self._failure, self._outputs, None, [], self._ticks)

    def leave(self) -> None:
        """End it: nothing is to become of it."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        self._close(self._go, self._failure, *self._outputs)

    def _close(self, *fds: int) -> None:
        for fd in fds:
            os.close(fd)


def _wait(shim: int, wait: int, fail: int, stdio: tuple[int, int, int]) -> NoReturn:
    try:
        settle(shim, stdio)
        head = _exactly(wait, _LENGTH.size)
        if head:
            words = _exactly(wait, *_LENGTH.unpack(head))
            cwd, paths, argv, env = marshal.loads(words)  # noqa: S302 - of the process that this one was forked of
            turn_into(cwd, paths, argv, env, wait, fail)
    finally:
        os._exit(CANNOT_EXEC)


def _exactly(fd: int, count: int) -> bytes:
    """So many bytes and none beyond: what follows releases it. Empty where the shim has hung up."""
    taken = b""
    while len(taken) < count:
        data = os.read(fd, count - len(taken))
        if not data:
            return b""
        taken += data
    return taken

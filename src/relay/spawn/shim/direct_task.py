"""Starting a task without a copy of the shim: posix_spawn(3), whose child shares the shim's memory until it execs.

A forked child and the shim share each page until one of them writes to it, and copy it then: measured with 64 spawns in
flight, 160 pages of the child's and 300 of the shim's for each, which took a third of the processor time of the whole.
Nothing is forked before the promise either: what a task needs is made before, and the task is started at once after it.

Such a task does not die with its shim by the kernel's hand. The fork server kills what a dead shim leaves, and the
broker sweeps before it says anything of the attempt, by the task's pid, session and mark. Its pid is noted a moment
after its exec: until then the mark, and whose child it is, tell of it.

The shim hears nothing until the exec is over. That may take long, as where somebody has a lease on the program, or on a
file system that does not answer: a stop or a timeout is the broker's to carry out then, who kills what is below a shim
(`spawn/by_force.py`, `spawn/overdue.py`); the shim tells of the end.

Not for what a child has to do for itself before it becomes the command: limits, and a terminal. That is forked.
"""

from __future__ import annotations

import errno
import os
import time
from functools import cache

from . import kernel, processes
from .task import AT_CWD, AT_EXEC, candidates, environment, failure_of, first_of, opened, pipes, report_of

TYPE_CHECKING = False  # the checker takes the name for typing's, which costs 3 ms to import
if TYPE_CHECKING:
    from .spec import Spec

PATIENCE_S = 2.0
"""For how long it is tried again to make a process where there is none to be had."""
_AGAIN_S = 0.05
_PASSING = (errno.EAGAIN, errno.ENOMEM)


def serves(spec: Spec) -> bool:
    """Whether a task can be started so."""
    return spec.is_plain and is_there()


@cache
def is_there() -> bool:
    """Whether this system can start a process, in a session of its own, without a fork; tried once."""
    if not kernel.ADOPTS:
        return False
    try:
        os.posix_spawn("/", ["/"], {}, setsid=True)
    except NotImplementedError:  # a C library before glibc 2.26
        return False
    except OSError:  # a folder is no program
        return True
    return True


class DirectTask:
    """A task that is to be started: all that it needs is there.

    Attributes:
        pid, ticks: of its process, once it is started.
        began: when its start began, on the monotonic clock: what it takes is of the task's time.
        failure: where a child would tell a failure to exec: nowhere.
        outputs, stdin: the shim's ends of its pipes.

    Raises:
        OSError: no pipe can be made.
    """

    __slots__ = (
        *("_directory", "_env", "_fault", "_paths", "_spec", "_theirs"),
        *("began", "outputs", "pid", "stdin", "ticks"),
    )

    failure = -1

    def __init__(self, spec: Spec) -> None:
        self.pid = self.ticks = 0
        self.began = 0.0
        self._spec = spec
        self._env, self._paths = environment(spec), candidates(spec)
        self._directory, self._fault = -1, b""
        try:
            self._directory = opened(spec.cwd)
        except OSError as fault:
            self._fault = report_of(fault, AT_CWD)
        streams = pipes(spec.stdin is not None)
        self._theirs, self.outputs, self.stdin = streams.theirs, streams.outputs, streams.feed

    @property
    def watched(self) -> tuple[int, ...]:
        """What tells of it: its output."""
        return self.outputs

    def start(self) -> dict[str, object] | None:
        """Start it, once; the `error` of an exit record where that cannot be, None where it is past its exec."""
        report = self._fault or self._begin()
        self._let_go(self._theirs)
        if report:
            self._let_go(self.outputs, self.stdin)
            return failure_of(report, self._spec)
        self.ticks = processes.ticks(self.pid)
        return None

    def abandon(self) -> None:
        """It is not to be."""
        self._let_go((*self._theirs, *self.outputs), self.stdin)

    def _let_go(self, fds: tuple[int, ...], feed: int | None = None) -> None:
        for fd in (*fds, self._directory, -1 if feed is None else feed):
            if fd >= 0:
                os.close(fd)
        self._directory = -1

    def _begin(self) -> bytes:
        """Start it; what a child would report where that cannot be."""
        stage, self.began = AT_CWD, time.monotonic()
        try:
            os.fchdir(self._directory)
            stage = AT_EXEC
            self.pid = first_of(self._paths, self._process)
        except OSError as fault:
            return report_of(fault, stage)
        finally:
            os.chdir("/")  # who takes away the task's folder must not find the shim in it
        return b""

    def _process(self, path: str) -> int:
        """A process that has become this program. Raises OSError."""
        if len(self._paths) > 1:
            os.stat(path)  # none is made for what is not there
        places = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(self._theirs)]
        while True:
            try:
                return os.posix_spawn(path, self._spec.argv, self._env, file_actions=places, setsid=True)
            except OSError as fault:
                if fault.errno not in _PASSING or time.monotonic() >= self.began + PATIENCE_S:
                    raise
            time.sleep(_AGAIN_S)

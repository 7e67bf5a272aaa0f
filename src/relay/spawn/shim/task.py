"""Forking the task: a child that prepares itself, waits on a pipe until it is released, and becomes the command.

Every page that the child touches is copied for it, so that whatever can be made before the fork is made there.
The child tells a failure to exec through a close-on-exec pipe: its end of file means that the command runs.
"""

from __future__ import annotations

import errno
import os
import signal
import time

from . import confining, kernel, processes, record, terminal
from .spec import MARKER, Spec

TYPE_CHECKING = False  # the checker takes the name for typing's, which costs 3 ms to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

AT_CWD = b"c"
AT_EXEC = b"x"
CANNOT_EXEC = 127
_KINDS = {
    errno.ENOENT: "not_found",
    errno.ENOTDIR: "not_found",
    errno.EACCES: "not_executable",
    errno.EPERM: "not_executable",
    errno.ENOEXEC: "not_executable",
    errno.ETXTBSY: "not_executable",
    errno.ELOOP: "not_executable",
    errno.ENAMETOOLONG: "not_found",
    errno.E2BIG: "too_long",
}
_NAME_ROOM = 130
"""Bytes of a record's slot for what a failure is about: the rest is for why."""
_SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO)
"""What says nothing of the directory that was to be entered."""


class Task:
    """The task's process, when it was released by the monotonic clock, and the shim's ends of its pipes."""

    __slots__ = ("_go", "_kept", "_theirs", "began", "failure", "outputs", "pid", "stdin", "ticks")

    def __init__(
        self,
        pid: int,
        go: int,
        failure: int,
        outputs: tuple[int, ...],
        stdin: int | None,
        theirs: list[int],
        kept: set[int],
        ticks: int | None = None,
    ) -> None:
        self.pid = pid
        self.began = 0.0
        self.ticks = processes.ticks(pid) if ticks is None else ticks
        self.failure = failure
        self.outputs = outputs
        self.stdin = stdin
        self._go = go
        self._theirs = theirs
        self._kept = kept

    @property
    def watched(self) -> tuple[int, ...]:
        """What tells of it: a failure to exec, and its output."""
        return (self.failure, *self.outputs)

    def release(self) -> None:
        """Let the child become the command. A child that is already dead is found by its end."""
        self.began = time.monotonic()
        try:
            os.write(self._go, b"g")
        except BrokenPipeError:
            pass
        # Only now: the child need not wait for it.
        os.close(self._go)
        for fd in self._theirs:
            os.close(fd)

    def abandon(self) -> None:
        """End the child, which was not released."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        mine = [self._go, self.failure, *self.outputs]
        if self.stdin is not None:
            mine.append(self.stdin)
        for fd in (*mine, *self._theirs, *self._kept):
            os.close(fd)


def fork_task(spec: Spec, held: int | None) -> Task:
    """Fork the child, which waits for `Task.release`.

    Args:
        held: the lock's descriptor, where it is open already; the child lets go of it, or its copy would outlive the
            shim's.
    """
    wait, go = os.pipe()
    failure, fail = os.pipe()
    streams = _terminal(spec.terminal) if spec.terminal else pipes(spec.stdin is not None)
    paths, env = candidates(spec), environment(spec)
    shim = os.getpid()
    pid = os.fork()
    if pid == 0:
        if held is not None:
            os.close(held)
        os.close(go)
        _become(spec, shim, wait, fail, streams.theirs, paths, env)
    # A terminal that nobody has open has hung up, for good: a task that closes all three may open /dev/tty later.
    theirs, kept = ([], set(streams.theirs)) if spec.terminal else (list(streams.theirs), set[int]())
    return Task(pid, go, failure, streams.outputs, streams.feed, [wait, fail, *theirs], kept)


class Streams:
    """The task's input and outputs, and the shim's ends of them."""

    __slots__ = ("feed", "outputs", "theirs")

    def __init__(self, theirs: tuple[int, int, int], outputs: tuple[int, ...], feed: int | None) -> None:
        self.theirs = theirs
        self.outputs = outputs
        self.feed = feed


def pipes(is_fed: bool) -> Streams:
    """Pipes for a task's output, and for its input where it has one."""
    out, stdout = os.pipe()
    err, stderr = os.pipe()
    stdin, feed = os.pipe() if is_fed else (os.open(os.devnull, os.O_RDONLY), None)
    return Streams((stdin, stdout, stderr), (out, err), feed)


def _terminal(size: list[int]) -> Streams:
    master, slave = terminal.open_pair(*size)
    # twice, so that input and output can be closed and waited for each by itself
    return Streams((slave, slave, slave), (master,), os.dup(master))


def environment(spec: Spec) -> dict[str, str]:
    """The whole environment of the task."""
    return {**spec.env, "PWD": spec.cwd, MARKER: spec.name}


def candidates(spec: Spec) -> list[str]:
    """The files that `argv[0]` may mean, as execvp(3) has it; an empty entry of PATH is the working folder."""
    name = spec.argv[0]
    if "/" in name:
        return [name]
    return [f"{folder}/{name}" if folder else name for folder in spec.env.get("PATH", os.defpath).split(":")]


def failure_of(report: bytes, spec: Spec) -> dict[str, object]:
    """The `error` of an exit record, from what the child wrote to the failure pipe."""
    if report[:1] == confining.UNLIMITED:
        return {"kind": "no_limits", "errno": None, "text": confining.why_unlimited(report)}
    number = int(report[1:])
    if report[:1] == AT_CWD:
        kind = "exec_failed" if number in _SHORT else "bad_cwd"
        return {"kind": kind, "errno": number, "text": f"{_name(spec.cwd)}: {os.strerror(number)}"}
    kind, name, text = _KINDS.get(number, "exec_failed"), spec.argv[0], os.strerror(number)
    if kind == "not_found" and (there := _there(spec)):
        kind, name, text = "bad_interpreter", there, "what its first line (#!) names, or its loader, is not there"
    elif number == errno.EACCES:
        kind, number, name, text = _refusal(spec) or (kind, number, name, text)
    return {"kind": kind, "errno": number, "text": f"{_name(name)}: {text}"}


def _name(text: str) -> str:
    return record.short(text[:120], _NAME_ROOM)


def _there(spec: Spec) -> str | None:
    # ENOENT for a file that is there is about its `#!` line, or its loader.
    return next((path for path in candidates(spec) if os.path.isfile(os.path.join(spec.cwd, path))), None)


def _refusal(spec: Spec) -> tuple[str, int, str, str] | None:
    # EACCES is about more than the file's own mode: chmod mends none of these.
    for path in candidates(spec):
        whole = os.path.join(spec.cwd, path)
        if os.path.isdir(whole):
            return "not_executable", errno.EISDIR, path, os.strerror(errno.EISDIR)
        if os.access(whole, os.X_OK):
            return "bad_interpreter", errno.EACCES, path, "what its first line (#!) names may not be executed"
        if os.path.exists(whole):
            is_shut = os.statvfs(whole).f_flag & getattr(os, "ST_NOEXEC", 0)
            return ("noexec", errno.EACCES, path, "its file system is mounted noexec") if is_shut else None
    return None


def _become(
    spec: Spec,
    shim: int,
    wait: int,
    fail: int,
    stdio: tuple[int, int, int],
    paths: list[str],
    env: dict[str, str],
) -> NoReturn:
    try:
        settle(shim, stdio)
        if spec.terminal:
            terminal.control(0)
        turn_into(spec.cwd, paths, spec.argv, env, wait, fail, spec if spec.limits else None)
    except OSError as fault:
        os.write(fail, report_of(fault))
    finally:
        os._exit(CANNOT_EXEC)


def turn_into(
    cwd: str, paths: list[str], argv: list[str], env: dict[str, str], wait: int, fail: int, limited: Spec | None = None
) -> None:
    """Become the command when it is released; returns where it is not, or cannot, which is told then.

    Args:
        cwd: the directory.
        paths, argv, env: as `execute` has them.
        wait: where it is released.
        fail: where a failure is told.
        limited: the launch, where it has limits.
    """
    stage = AT_CWD
    try:
        enter(cwd)
        stage = AT_EXEC
        # Last: the shim makes its promise while all of the above is done.
        if os.read(wait, 1):
            if limited:
                confining.become(limited, fail, MARKER, paths, env)
            execute(paths, argv, env)
    except OSError as fault:
        os.write(fail, report_of(fault, stage))


def enter(directory: str) -> None:
    """Change to a directory. Raises OSError, as `opened`."""
    here = opened(directory)
    os.fchdir(here)
    os.close(here)


def opened(directory: str) -> int:
    """The descriptor of the directory that was judged: a real path, so that a link on the way was put there since.

    Raises:
        OSError: a part of it is not there, or is no directory of its own.
    """
    look = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW
    here = os.open("/", look)
    try:
        for part in directory.split("/"):
            if part:
                above, here = here, os.open(part, look, dir_fd=here)
                os.close(above)
    except OSError:
        os.close(here)
        raise
    return here


def settle(shim: int, stdio: tuple[int, int, int]) -> None:
    """Become a process of its own, with these descriptors as its input and output; it dies with the shim."""
    kernel.die_with_parent()
    # The parent may have died before the kernel was told to watch it.
    if os.getppid() != shim:
        os._exit(CANNOT_EXEC)
    os.setsid()
    for number, fd in enumerate(stdio):
        os.dup2(fd, number)


def report_of(fault: OSError, stage: bytes = AT_EXEC) -> bytes:
    """What the child writes to the failure pipe."""
    return stage + str(fault.errno or errno.EIO).encode()


def execute(paths: list[str], argv: list[str], env: dict[str, str]) -> None:
    """`os.execvpe` without what it imports and runs through. Raises OSError, as `first_of`."""
    first_of(paths, lambda path: os.execve(path, argv, env))  # noqa: S606 - no shell; the words are the grant's


def first_of(paths: list[str], begin: Callable[[str], int]) -> int:
    """What `begin` makes of the first of these files that it can begin.

    Raises:
        OSError: none of them can be: the first refusal is told before a missing file.
    """
    refusal = missing = 0  # numbers: a fault that is kept keeps its frames, and they it, where nobody collects
    for path in paths:
        try:
            return begin(path)
        except (FileNotFoundError, NotADirectoryError) as fault:
            missing = fault.errno or errno.ENOENT
        except OSError as fault:
            refusal = refusal or fault.errno or errno.EIO
    failure = refusal or missing
    raise OSError(failure, os.strerror(failure))

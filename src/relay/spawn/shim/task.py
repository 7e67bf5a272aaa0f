"""Forking the task: a child that waits on a pipe until it is released, then becomes the command.

The child tells a failure to exec through a close-on-exec pipe: its end of file means that the command runs.
"""

from __future__ import annotations

import errno
import os
import signal

from . import kernel
from .spec import MARKER, Spec

TYPE_CHECKING = False  # the checker takes the name for typing's, which costs 3 ms to import
if TYPE_CHECKING:
    from typing import NoReturn

IGNORED = (
    *(signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT),
    *(signal.SIGPIPE, signal.SIGXFSZ),
)
"""What the fork server ignores (first line) and what Python ignores (second)."""

_AT_CWD = b"c"
_AT_EXEC = b"x"
_CANNOT_EXEC = 127
_KINDS = {
    errno.ENOENT: "not_found",
    errno.ENOTDIR: "not_found",
    errno.EACCES: "not_executable",
    errno.EPERM: "not_executable",
    errno.ENOEXEC: "not_executable",
    errno.E2BIG: "too_long",
}


class Ends:
    """One pipe."""

    __slots__ = ("read", "write")

    def __init__(self) -> None:
        self.read, self.write = os.pipe()


class Task:
    """The task's process and the shim's ends of its pipes."""

    def __init__(self, pid: int, go: int, failure: int, outputs: tuple[int, int], stdin: int | None) -> None:
        self.pid = pid
        self.failure = failure
        self.outputs = outputs
        self.stdin = stdin
        self._go = go

    def release(self) -> None:
        """Let the child become the command. A child that is already dead is found by its end."""
        try:
            os.write(self._go, b"g")
        except BrokenPipeError:
            pass
        finally:
            os.close(self._go)


def fork_task(spec: Spec, held: int) -> Task:
    """Fork the child, which waits for `Task.release`.

    Args:
        held: the lock's descriptor; the child lets go of it, or its copy would outlive the shim's.
    """
    go, failure, out, err = Ends(), Ends(), Ends(), Ends()
    stdin = Ends() if spec.stdin is not None else None
    shim = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(held)
        os.close(go.write)
        _become(spec, shim, go.read, failure.write, (stdin.read if stdin else None, out.write, err.write))
    for fd in (go.read, failure.write, out.write, err.write, *([stdin.read] if stdin else [])):
        os.close(fd)
    return Task(pid, go.write, failure.read, (out.read, err.read), stdin.write if stdin else None)


def failure_of(report: bytes, spec: Spec) -> dict[str, object]:
    """The `error` of an exit record, from what the child wrote to the failure pipe."""
    number = int(report[1:])
    if report[:1] == _AT_CWD:
        return {"kind": "bad_cwd", "errno": number, "text": f"{spec.cwd[:120]}: {os.strerror(number)}"}
    kind = _KINDS.get(number, "exec_failed")
    if kind == "not_found" and _is_file(spec):
        kind = "bad_interpreter"
    return {"kind": kind, "errno": number, "text": f"{spec.argv[0][:120]}: {os.strerror(number)}"}


def _is_file(spec: Spec) -> bool:
    # ENOENT for a file that is there is about its `#!` line, or its loader.
    return os.path.isfile(os.path.join(spec.cwd, spec.argv[0])) if "/" in spec.argv[0] else False


def _become(
    spec: Spec, shim: int, go: int, failure: int, stdio: tuple[int | None, int, int]
) -> NoReturn:
    stage = _AT_EXEC
    try:
        _settle(shim, go)
        _take_stdio(stdio)
        stage = _AT_CWD
        os.chdir(spec.cwd)
        stage = _AT_EXEC
        _default_signals()
        os.execvpe(spec.argv[0], spec.argv, {**spec.env, "PWD": spec.cwd, MARKER: spec.name})
    except OSError as fault:
        os.write(failure, stage + str(fault.errno or errno.EIO).encode())
    finally:
        os._exit(_CANNOT_EXEC)


def _settle(shim: int, go: int) -> None:
    kernel.die_with_parent()
    os.setsid()
    # The parent may have died before the kernel was told to watch it.
    if os.getppid() != shim or not os.read(go, 1):
        os._exit(_CANNOT_EXEC)


def _take_stdio(stdio: tuple[int | None, int, int]) -> None:
    stdin, out, err = stdio
    os.dup2(os.open(os.devnull, os.O_RDONLY) if stdin is None else stdin, 0)
    os.dup2(out, 1)
    os.dup2(err, 2)


def _default_signals() -> None:
    # What is ignored stays ignored across exec; what is caught does not.
    for number in IGNORED:
        signal.signal(number, signal.SIG_DFL)

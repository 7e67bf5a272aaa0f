"""strace on a process that runs, from the moment on at which it misses no call."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from relay.testing import processes

_WITHIN_S = 20.0
_LONGEST = 65_536


class Untraceable(Exception):
    """strace may not trace here; its text is what it said."""


@contextmanager
def traced(pid: int, *options: str) -> Iterator[None]:
    """A process is traced for the length of a block, if it does not end before.

    The kernel names a tracer as soon as the process is seized, and only then does strace stop it: what the process
    calls in between is not counted, and a fork in between makes strace take returns for calls from there on. So it is
    strace's own word that is waited for, which comes after both.

    Args:
        pid: the process, which may be asleep in a call.
        options: strace's own, such as `-f`, `-o FILE` and `-e trace=fdatasync`.

    Raises:
        Untraceable: strace ended instead.
        TimeoutError: it said nothing.
    """
    with tempfile.TemporaryFile() as said:
        tracer = subprocess.Popen([str(shutil.which("strace")), *options, "-p", str(pid)], stderr=said)
        try:
            processes.wait_until(lambda: _has_begun(tracer, pid, said), _WITHIN_S, "strace to be attached")
            yield
        finally:
            tracer.terminate()
            tracer.wait(_WITHIN_S)


def _has_begun(tracer: subprocess.Popen[bytes], pid: int, said: IO[bytes]) -> bool:
    text = os.pread(said.fileno(), _LONGEST, 0).decode()  # strace shares the place in it
    if tracer.poll() is not None and "attached" not in text:
        raise Untraceable(text)
    return f"Process {pid} attached" in text

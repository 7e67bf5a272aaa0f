"""A process that has imported the program once, from which the brokers and commands of tests are forked.

Most of a broker's start is the import of its modules, 1.0 of 1.1 s of processor time, and 45 of 60 ms of a command's.
What is forked is a process of its own, with its own descriptors, environment, folder and signals; it runs the same
`__main__`. What it does not do is `exec`: whatever is to show that (an upgrade, `relay up`, `tests/cli`, the
benchmarks) starts it that way, or in `stem.aside()`.

This is the side of the tests; the stem itself is `relay.testing.stem_process`.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MAX_ANSWER = 4096
POLL_S = 0.02
END_S = 5.0
_IN_USE = False


@dataclass(slots=True, eq=False)
class Forked:
    """A process that the stem has forked, with what the tests use of `subprocess.Popen`."""

    pid: int
    stem: Stem
    returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit status, a signal as a negative number; None while it runs."""
        if self.returncode is None:
            self.returncode = self.stem.ask({"poll": self.pid})["status"]
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Args:
            timeout: seconds, or None for ever.

        Raises:
            subprocess.TimeoutExpired: it has not ended.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with _watched(self.pid) as ends:
            while (status := self.poll()) is None:
                left = POLL_S if deadline is None else deadline - time.monotonic()
                if left <= 0:
                    raise subprocess.TimeoutExpired(f"the process {self.pid}", timeout or 0)
                select.select(ends, [], [], min(left, POLL_S) if not ends else left)
        return status

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


@contextlib.contextmanager
def _watched(pid: int) -> Iterator[list[int]]:
    """A descriptor that can be read once the process has ended; none where the system has no such thing."""
    try:
        descriptor = os.pidfd_open(pid)
    except (AttributeError, OSError):
        yield []
        return
    try:
        yield [descriptor]
    finally:
        os.close(descriptor)


@dataclass(slots=True, eq=False)
class Stem:
    """The stem of this process."""

    process: subprocess.Popen[bytes]
    end: socket.socket
    lock: threading.Lock = field(default_factory=threading.Lock)
    maker: int = field(default_factory=os.getpid)

    def ask(self, request: dict[str, Any], descriptors: tuple[int, ...] = ()) -> dict[str, Any]:
        """One request, one answer.

        Raises:
            EOFError: the stem has ended.
        """
        with self.lock:
            socket.send_fds(self.end, [json.dumps(request).encode()], descriptors)
            raw = self.end.recv(MAX_ANSWER)
        if not raw:
            raise EOFError("the process that brokers are forked from has ended")
        answer: dict[str, Any] = json.loads(raw)
        return answer

    def close(self) -> None:
        """End it: it goes when nobody can ask it any more. Of a process that was forked from its maker, nothing."""
        if self.maker == os.getpid():
            self.end.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(END_S)

    def fork(
        self,
        words: Sequence[str],
        environment: dict[str, str],
        folder: Path,
        descriptors: dict[int, int],
        namespace: str = "",
    ) -> Forked:
        """Fork a process.

        Args:
            words: the module, or the path of a file of Python, and its arguments.
            environment: all of it.
            folder: where it runs.
            descriptors: by the number that it is to have under: what it has of this process's.
            namespace: the name of the network namespace that it is in; empty for this process's.
        """
        request = {
            "words": list(words),
            "environment": environment,
            "folder": str(folder),
            "numbers": list(descriptors),
            "namespace": namespace,
        }
        return Forked(self.ask(request, tuple(descriptors.values()))["pid"], self)


def environment() -> dict[str, str]:
    """What brokers and commands have of this process's environment: the path, the language, and nothing else."""
    return {key: os.environ[key] for key in ("PATH", "LANG", "PYTHONPATH") if key in os.environ}


# of its own, and as it was: a test's folder in the path would make the stem look like a process left by that test
_ENVIRONMENT = environment()
_STEMS: dict[int, Stem] = {}
_MAKING = threading.Lock()


def use() -> None:
    """From now on this process's nodes, and the commands they are driven by, are forked."""
    global _IN_USE
    _IN_USE = hasattr(socket, "SOCK_SEQPACKET") and sys.platform == "linux"


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """In this block all is executed: for a test of what others see of a process."""
    global _IN_USE
    before, _IN_USE = _IN_USE, False
    try:
        yield
    finally:
        _IN_USE = before


def is_in_use() -> bool:
    """Whether this process's nodes and commands are forked."""
    return _IN_USE


def words_of(launcher: tuple[str, ...]) -> list[str] | None:
    """The module or file of a launcher that a stem can act out, and its arguments; None where it has to be executed."""
    if not _IN_USE or launcher[0] != sys.executable:
        return None
    rest = list(launcher[2:] if launcher[1] == "-P" else launcher[1:])
    if rest[0] == "-m":
        return rest[1:]
    return rest if rest[0].endswith(".py") else None


def shared() -> Stem:
    """This process's stem, started by the first who asks."""
    with _MAKING:
        known = _STEMS.get(os.getpid())
        if known is None or known.process.poll() is not None:
            known = _STEMS[os.getpid()] = _made()
        return known


def _made() -> Stem:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        words = [sys.executable, "-m", "relay.testing.stem_process", str(theirs.fileno())]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(),), env=_ENVIRONMENT)
    made = Stem(process, ours)
    atexit.register(made.close)
    made.ask({"ready": True})  # it answers once it has imported all: that is no time of what is forked
    return made

"""A process that has imported the program once, from which the brokers of tests are forked.

Most of a broker's start is the import of its modules: 1.0 of 1.1 s of processor time, measured. A forked broker is a
process of its own, with its own descriptors, environment, folder and signals; it runs the same `__main__`. What it does
not do is `exec`: whatever is to show that (an upgrade, `relay up`, a namespace, the benchmarks) starts it that way.

    python -m relay.testing.stem SOCKET

One request a packet, with descriptors beside it; one answer. The stem ends with the other end of its socket, and its
brokers end with it: who is interrupted leaves none behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# what a broker that runs has imported; not its `__main__`, which runs in each of them
IMPORTED = (
    "relay.broker.assembly",
    "uvicorn.lifespan.off",
    "uvicorn.loops.asyncio",
    "uvicorn.protocols.http.httptools_impl",
)
MAX_REQUEST = 256 * 1024
POLL_S = 0.02
_IN_USE = False


# in the tests' own process


@dataclass(slots=True, eq=False)
class Forked:
    """A broker that the stem has forked, with what the tests use of `subprocess.Popen`."""

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
                    raise subprocess.TimeoutExpired(f"the broker {self.pid}", timeout or 0)
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
def _watched(pid: int) -> Any:
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

    def ask(self, request: dict[str, Any], descriptors: tuple[int, ...] = ()) -> dict[str, Any]:
        """One request, one answer.

        Raises:
            EOFError: the stem has ended.
        """
        with self.lock:
            socket.send_fds(self.end, [json.dumps(request).encode()], descriptors)
            raw = self.end.recv(MAX_REQUEST)
        if not raw:
            raise EOFError("the process that brokers are forked from has ended")
        answer: dict[str, Any] = json.loads(raw)
        return answer

    def fork(self, words: list[str], environment: dict[str, str], folder: Path, log: int, ready: int) -> Forked:
        """Fork a broker.

        Args:
            words: the module, and its arguments.
            environment: all of it.
            folder: where it runs.
            log: the descriptor for what it prints.
            ready: a descriptor that it has under the same number.
        """
        request = {"words": words, "environment": environment, "folder": str(folder), "ready": ready}
        return Forked(self.ask(request, (log, ready))["pid"], self)


_STEMS: dict[int, Stem] = {}
_MAKING = threading.Lock()


def use() -> None:
    """From now on this process's nodes are forked."""
    global _IN_USE
    _IN_USE = hasattr(socket, "SOCK_SEQPACKET") and sys.platform == "linux"


def words_of(launcher: tuple[str, ...]) -> list[str] | None:
    """The module and arguments of a launcher that a stem can act out; None where it has to be executed."""
    is_module = _IN_USE and launcher[:2] == (sys.executable, "-m")
    return list(launcher[2:]) if is_module else None


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
        words = [sys.executable, "-m", "relay.testing.stem", str(theirs.fileno())]
        return Stem(subprocess.Popen(words, stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(),)), ours)


# in the stem


def _serve(end: socket.socket) -> list[str]:
    """Answer until the other end is closed; in a forked broker: its words."""
    running: dict[int, int | None] = {}
    while True:
        raw, descriptors, _, _ = socket.recv_fds(end, MAX_REQUEST, 2)
        if not raw:
            _end(pid for pid, status in running.items() if status is None)
            sys.exit(0)
        request = json.loads(raw)
        if "poll" in request:
            answer: dict[str, Any] = {"status": _polled(running, request["poll"])}
        else:
            pid = os.fork()
            if pid == 0:
                end.close()
                return _become(request, *descriptors)
            running[pid] = None
            answer = {"pid": pid}
        for descriptor in descriptors:
            os.close(descriptor)
        end.send(json.dumps(answer).encode())


def _polled(running: dict[int, int | None], pid: int) -> int | None:
    if running[pid] is None:
        ended, status = os.waitpid(pid, os.WNOHANG)
        running[pid] = os.waitstatus_to_exitcode(status) if ended else None
    return running[pid]


def _end(pids: Any) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
            os.kill(pid, signal.SIGTERM)


def _become(request: dict[str, Any], log: int, ready: int) -> list[str]:
    """The rest of a start that `subprocess.Popen` would make."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    wanted = request["ready"]
    # out of the way first: what came may have the number that is wanted
    null, log, ready = (_moved(each, wanted + 1) for each in (os.open(os.devnull, os.O_RDONLY), log, ready))
    for source, target in ((null, 0), (log, 1), (log, 2), (ready, wanted)):
        os.dup2(source, target)
    for descriptor in (null, log, ready):
        os.close(descriptor)
    words: list[str] = request["words"]
    return words


def _moved(descriptor: int, above: int) -> int:
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, above)
    os.close(descriptor)
    return moved


def main() -> None:
    """Import, then fork until the tests are over."""
    for name in IMPORTED:
        importlib.import_module(name)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever starts it is interrupted too, and its end is seen
    gc.collect()
    gc.freeze()
    words = _serve(socket.socket(fileno=int(sys.argv[1])))
    sys.argv = words
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

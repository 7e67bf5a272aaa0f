"""Peers, up and ready to be asked, for a block."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from relay.testing.mesh import free_port
from relay.testing.processes import wait_until

CHECKOUT = Path(__file__).parents[2]
WITHIN_S = 60.0
# Ray reports its use to its makers unless told not to.
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1"}


class NoPeer(Exception):
    """It is not installed, or does not come up; the message says which."""


class Peer:
    """A peer's program, which does jobs when asked.

    Args:
        process: it, with pipes.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, question: str) -> str:
        """Its answer to a line.

        Raises:
            NoPeer: it ended.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(question + "\n")
            self._process.stdin.flush()
        return self.hear()

    def hear(self) -> str:
        """The next line it says.

        Raises:
            NoPeer: it ended.
        """
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            raise NoPeer(f"its program ended with {self._process.wait(WITHIN_S)}")
        return answer.strip()

    def once(self) -> None:
        """One job, to its end."""
        self.ask("once")

    def many_per_second(self, count: int, in_flight: int) -> float:
        """Jobs a second."""
        return float(self.ask(f"many {count} {in_flight}"))


def _interpreter() -> str:
    found = os.environ.get("BENCH_PEERS_PYTHON", "")
    if not found or not Path(found).exists():
        raise NoPeer("its packages are not installed; make bench installs them")
    return found


@contextlib.contextmanager
def _child(words: list[str], log: Path, extra: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, **_QUIET, **extra, "PYTHONPATH": str(CHECKOUT)}
    with log.open("wb") as errors:
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()  # its loop ends
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait(10)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def _redis(folder: Path) -> Iterator[str]:
    program = shutil.which("redis-server")
    if program is None:
        raise NoPeer("redis-server is not installed; apt-get install redis-server")
    port = free_port()
    words = [program, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--appendonly", "yes"]
    with (folder / "redis.log").open("wb") as log:
        server = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        wait_until(lambda: _answers(port) or server.poll() is not None, 10, "redis-server")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(10)


@contextlib.contextmanager
def _worker(python: str, where: Mapping[str, str], folder: Path) -> Iterator[None]:
    words = [python, "-m", "celery", "-A", "bench.peers.celery_jobs", "worker", "--loglevel", "ERROR"]
    words += ["--without-gossip", "--without-mingle", "--concurrency", "4"]
    environment = {**os.environ, **where, "PYTHONPATH": str(CHECKOUT)}
    with (folder / "worker.log").open("wb") as log:
        worker = subprocess.Popen(words, stdout=log, stderr=log, cwd=folder, env=environment)
    try:
        yield
    finally:
        worker.terminate()
        worker.wait(20)


@contextlib.contextmanager
def celery(folder: Path) -> Iterator[Peer]:
    """Celery with Redis as broker and result backend, its log on disk once a second; four worker processes.

    Args:
        folder: an empty one.

    Raises:
        NoPeer: it, or Redis, is not here.
    """
    python = _interpreter()
    with contextlib.ExitStack() as stack:
        where = {"BENCH_REDIS": stack.enter_context(_redis(folder))}
        stack.enter_context(_worker(python, where, folder))
        words = [python, "-m", "bench.peers.ask_celery"]
        peer = Peer(stack.enter_context(_child(words, folder / "ask.log", where)))
        peer.hear()
        yield peer


@contextlib.contextmanager
def ray(folder: Path) -> Iterator[Peer]:
    """Ray on this machine alone, with as many workers as there are processors.

    Args:
        folder: an empty one with a short path (sockets lie in it).

    Raises:
        NoPeer: it is not here.
    """
    words = [_interpreter(), "-m", "bench.peers.ask_ray", str(folder)]
    with _child(words, folder / "ask.log", {}) as process:
        peer = Peer(process)
        peer.hear()
        yield peer

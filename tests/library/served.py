"""Starts, stops and kills the program of `app.py` beside a broker."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.e2e.scene import fresh

_ROOT = Path(__file__).parents[2]
START_S, END_S = 30.0, 30.0


class Served:
    """The program beside a node's broker.

    Args:
        node: whose broker.
        module: which program.
    """

    def __init__(self, node: Node, module: str = "tests.library.app") -> None:
        self.node, self.module = node, module
        self.folder = node.work / fresh("app")
        self.folder.mkdir()
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        """Start it."""
        (self.folder / "served").unlink(missing_ok=True)
        words = [sys.executable, "-m", self.module, str(self.node.home), str(self.folder)]
        with (self.folder / "said").open("ab") as said:
            self.process = subprocess.Popen(
                words, env=self.node.environment(), cwd=_ROOT, stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )

    def start(self) -> None:
        """Start it, and wait until its broker was asked."""
        self.launch()
        wait_until(lambda: (self.folder / "served").exists(), START_S, f"the program to serve: {self.said()}")

    def said(self) -> str:
        """All it printed."""
        return (self.folder / "said").read_text()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(END_S)

    def stop(self) -> None:
        """SIGTERM, which it handles itself, and wait."""
        assert self.process is not None
        self.process.terminate()
        assert self.process.wait(END_S) == 0, self.said()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stopped in its tracks, for a block."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def ran(self, key: str) -> list[str]:
        """What the runs of a key have noted."""
        file = self.folder / f"{key}.ran"
        return file.read_text().split() if file.exists() else []

    def until_ran(self, key: str, word: str) -> None:
        """Wait until one of them has noted this."""
        wait_until(lambda: word in self.ran(key), END_S, f"{key} to have {word}; {self.said()}")

    def let_go(self, key: str) -> None:
        """Let the runs of a key go on."""
        (self.folder / f"{key}.go").touch()

    def shout(self, text: str) -> str:
        """What its own server answers."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(self.folder / "shouts.sock"))
            connection.sendall(f"{text}\n".encode())
            return connection.recv(1000).decode().strip()


@contextlib.contextmanager
def served(node: Node, module: str = "tests.library.app") -> Iterator[Served]:
    """The program beside a node, started; killed after the block."""
    made = Served(node, module)
    try:
        made.start()
        yield made
    finally:
        made.kill()

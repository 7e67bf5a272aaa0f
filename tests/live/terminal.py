"""A person at a terminal: a command on a pseudo-terminal of its own, typed into and read by a test."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence

from relay.testing.node import Node

WITHIN_S = 15.0
DETACH = b"\x1d"


class Terminal:
    """One command on its terminal.

    Attributes:
        seen: all that it has shown.
    """

    def __init__(
        self, node: Node, *words: str, size: tuple[int, int], program: Sequence[str], is_job: bool = False
    ) -> None:
        self._master, self.slave = pty.openpty()
        self.resize(*size, tell=False)
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""
        self.process = subprocess.Popen(
            [*program, "-m", "relay", *words],
            env=node.environment() | {"TERM": "xterm"},
            cwd=node.scratch,
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=not is_job,
            process_group=0 if is_job else None,
        )

    def resize(self, rows: int, columns: int, tell: bool = True) -> None:
        """Make the window another size."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if tell:
            self.process.send_signal(28)

    def type(self, data: bytes) -> None:
        """Press keys."""
        os.write(self._master, data)

    def until(self, text: bytes, within: float = WITHIN_S) -> bytes:
        """Read until it has shown `text`; what came before and with it, which is then forgotten."""
        deadline = time.monotonic() + within
        while text not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0, f"not shown within {within} s: {text!r}; seen {self.seen[-2000:]!r}"
            self._read(left)
        at = self.seen.index(text) + len(text)
        found, self.seen = self.seen[:at], self.seen[at:]
        return found

    def _read(self, seconds: float) -> None:
        if select.select([self._master], [], [], min(seconds, 0.1))[0]:
            with contextlib.suppress(OSError):
                self.seen += os.read(self._master, 65536)

    def exit(self, within: float = WITHIN_S) -> int:
        """Read until the command has ended; its exit status."""
        deadline = time.monotonic() + within
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.seen[-2000:]
            self._read(0.1)
        while select.select([self._master], [], [], 0)[0]:
            self._read(0)
        return self.process.returncode

    @property
    def is_as_before(self) -> bool:
        """Whether the terminal's settings are those it had."""
        return termios.tcgetattr(self.slave) == self.before

    def hang_up(self) -> None:
        """Close the window: who reads from it finds its end."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def close(self) -> None:
        """End the command and the terminal."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.hang_up()
        os.close(self.slave)


@contextlib.contextmanager
def terminal(
    node: Node,
    *words: str,
    size: tuple[int, int] = (24, 80),
    program: Sequence[str] = (sys.executable,),
    is_job: bool = False,
) -> Iterator[Terminal]:
    """`relay WORDS` on a terminal, for a block.

    Args:
        node: whose.
        words: of the command.
        size: rows and columns.
        program: of Python.
        is_job: stopped by SIGTSTP, as a shell's job is; else nobody is there who could tell it to go on.
    """
    made = Terminal(node, *words, size=size, program=program, is_job=is_job)
    try:
        yield made
    finally:
        made.close()

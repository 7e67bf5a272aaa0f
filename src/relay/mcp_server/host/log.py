"""What an MCP server says beside the protocol: a file of its own, of a bounded length."""

from __future__ import annotations

import contextlib
import os

MAX_BYTES = 256 << 10
LAST = 2_000


class ServerLog:
    """The log of one share, mode 0600: at most twice `MAX_BYTES` with the file before it.

    Args:
        path: of the file.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._last = b""

    def write(self, data: bytes) -> None:
        """Add to it; a full disk loses it, and ends nothing."""
        self._last = (self._last + data)[-LAST:]
        with contextlib.suppress(OSError):
            self._turn()
            with open(os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as file:
                file.write(data[-MAX_BYTES:])

    def begin(self) -> None:
        """A new run: what the last one said explains nothing any more."""
        self._last = b""

    def last_line(self) -> str:
        """The last line of this run that says something, in printable letters; empty for none."""
        lines = [line.strip() for line in self._last.decode("utf-8", "replace").splitlines()]
        found = next((line for line in reversed(lines) if line), "")
        return "".join(letter if letter.isprintable() else "?" for letter in found)[:300]

    def _turn(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            if os.stat(self._path).st_size > MAX_BYTES:
                os.replace(self._path, f"{self._path}.1")

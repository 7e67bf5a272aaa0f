"""A stranger's connection: bytes, as nobody's client would send them."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from collections.abc import Iterator

from tests.dashboard.browser import WITHIN, Browser

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class Raw:
    """One connection to a dashboard's port."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._socket = socket.create_connection(("127.0.0.1", port), WITHIN)

    def say(self, data: bytes) -> bool:
        """Send it; whether it was taken."""
        try:
            self._socket.sendall(data)
        except OSError:
            return False
        return True

    def hear(self, most: int = 1 << 16) -> bytes:
        """What comes next; empty at the end.

        Raises:
            TimeoutError: nothing does.
        """
        try:
            return self._socket.recv(most)
        except ConnectionError:
            return b""

    def rest(self) -> bytes:
        """All that comes until the other side ends it."""
        data = b""
        while piece := self.hear():
            data += piece
        return data

    def patience(self, seconds: float) -> None:
        """How long to wait for what is said."""
        self._socket.settimeout(seconds)

    def takes(self, piece: bytes, most: int) -> bool:
        """Whether so much of the same is taken: so many bytes, or as much as goes in two seconds."""
        until, sent = time.monotonic() + 2.0, 0
        self.patience(2.0)
        while sent < most and time.monotonic() < until:
            if not self.say(piece):
                return False
            sent += len(piece)
        return True

    def close(self) -> None:
        """Leave."""
        self._socket.close()


@contextlib.contextmanager
def raw(browser: Browser) -> Iterator[Raw]:
    """A connection, while the block lasts."""
    made = Raw(browser.port)
    try:
        yield made
    finally:
        made.close()


def head(browser: Browser, line: str = "GET / HTTP/1.1", *more: str) -> bytes:
    """A request's head, for the right host."""
    return "\r\n".join([line, f"Host: 127.0.0.1:{browser.port}", *more, "", ""]).encode("latin-1")


def upgrade(browser: Browser, path: str = "/events", *more: str, method: str = "GET") -> bytes:
    """The head that asks for a WebSocket, as our own page does."""
    words = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Origin: {browser.origin}")
    return head(browser, f"{method} {path} HTTP/1.1", *words, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", *more)


def frame(opcode: int, data: bytes = b"", *, fin: bool = True, masked: bool = True, reserved: int = 0) -> bytes:
    """A frame of a client."""
    first, mask = (0x80 if fin else 0) | reserved << 4 | opcode, 0x80 if masked else 0
    length = len(data)
    size = struct.pack("!BB", first, mask | length) if length < 126 else struct.pack("!BBH", first, mask | 126, length)
    if not masked:
        return size + data
    key = os.urandom(4)
    return size + key + bytes(each ^ key[i % 4] for i, each in enumerate(data))

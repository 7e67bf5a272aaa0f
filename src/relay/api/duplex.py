"""A request whose body goes on while its answer comes: attach and forward over the control socket."""

from __future__ import annotations

import socket as _socket
import struct
import time

from relay.api import http1, silence
from relay.api.client import CONNECT_S, LOOK_AFTER_S, broke_off, document, no_broker, trusted_socket
from relay.api.task_token import token_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.home import Home

ANSWER_S = 60.0
READ_BYTES = 32 * 1024
"""At once: what is longer costs fresh pages for each key's echo."""
LENGTH = struct.Struct("!I")
"""What stands before each piece of a forwarded connection; an empty one is the end of a direction."""


def head(path: str, token: str | None = None) -> bytes:
    """What such a request begins with, and the token of the task that asks; its body follows in chunks."""
    shown = "" if token is None else f"Relay-Token: {token}\r\n"
    text = f"POST /api/v1/{path} HTTP/1.1\r\nHost: relay\r\n{shown}Transfer-Encoding: chunked\r\n\r\n"
    return text.encode("ascii")


def chunk(data: bytes) -> bytes:
    """A piece of the body, not empty."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Duplex:
    """One such request.

    Args:
        home: whose broker.
        path: below `/api/v1/`.
        first: the beginning of the body.

    Raises:
        RelayError: nobody answers, or the broker refused.
    """

    def __init__(self, home: Home, path: str, first: bytes) -> None:
        self._home = home
        self._response = http1.Response()
        self._refusal: list[bytes] = []
        self._early: list[bytes] = []
        self._socket = _connected(home)
        try:
            self._socket.sendall(head(path, token_for(home.path)) + chunk(first))
            self._answered()
        except OSError as fault:
            self.close()
            raise broke_off(home) from fault
        except BaseException:
            self.close()
            raise
        self._socket.settimeout(None)

    def _answered(self) -> None:
        """Wait for the beginning of the answer, as long as the broker answers anything."""
        until = time.monotonic() + ANSWER_S
        while not self._response.status or (self._response.status >= 400 and not self._response.done):
            try:
                self._early += self._heard()
            except TimeoutError as fault:
                if time.monotonic() >= until or not silence.answers(self._home.socket):
                    raise silence.too_slow(self._home) from fault

    def fileno(self) -> int:
        """For `select`."""
        return self._socket.fileno()

    @property
    def done(self) -> bool:
        """Whether the answer is over."""
        return self._response.done and not self._early

    @property
    def waits(self) -> bool:
        """Whether something of the answer is here that `receive` has not given out."""
        return bool(self._early)

    def send(self, data: bytes) -> None:
        """Send a piece of the body.

        Raises:
            Unreachable: the broker is gone.
        """
        try:
            self._socket.sendall(chunk(data))
        except OSError as fault:
            raise broke_off(self._home) from fault

    def receive(self) -> list[bytes]:
        """What has come of the answer since; waits where nothing has.

        Raises:
            RelayError: the broker refused, or is gone.
        """
        if self._early:
            early, self._early = self._early, []
            return early
        return self._heard()

    def _heard(self) -> list[bytes]:
        try:
            data = self._socket.recv(READ_BYTES)
            pieces = self._response.feed(data) if data else []
            if not data:
                self._response.end()
        except TimeoutError:
            raise
        except (OSError, http1.BadAnswer) as fault:
            raise broke_off(self._home, str(fault)) from fault
        return pieces if self._response.status < 400 else self._refused(pieces)

    def _refused(self, pieces: list[bytes]) -> list[bytes]:
        self._refusal += pieces
        if self._response.done:
            document(self._response.status, b"".join(self._refusal), self._home)
        return []

    def close(self) -> None:
        """Leave."""
        self._socket.close()


def _connected(home: Home) -> _socket.socket:
    try:
        path = trusted_socket(home)
    except OSError as fault:
        raise no_broker(home, fault) from fault
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.settimeout(CONNECT_S)
        connection.connect(path)
    except BlockingIOError as fault:
        connection.close()
        raise silence.too_slow(home) from fault
    except OSError as fault:
        connection.close()
        raise no_broker(home, fault) from fault
    connection.settimeout(LOOK_AFTER_S)
    return connection

"""A direct connection to the shim of a task: what is typed goes past the brokers, and what is shown comes so.

Whom it reaches is known by the hash of a certificate that a broker named; it shows a secret of the same broker's, and
is then a caller of the task's door, whose frames these are (`spawn/shim/callers.py`).
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import struct

HEAD = struct.Struct("!B16sQI")
REPLY = struct.Struct("!BQQI")
LONGEST = 128 * 1024
"""Bytes of a frame; a shim shows at most half of that at once."""
FARTHEST = 1 << 40
"""No log is as long."""
READ_BYTES = 16 * 1024
"""At once: what a TLS record has at most."""
_IDLE_S, _EVERY_S, _TIMES = 5, 2, 3
"""When the system asks a peer that says nothing whether it lives, and how often before it is taken for dead."""

Frame = tuple[int, int, int, bytes]
"""Kind, start, end, data."""


class DirectLine:
    """One such connection, which never waits: it says what it waits for.

    Args:
        host: numeric.
        port: there.
        pin: the SHA-256 of the certificate it must show.
        secret: shown then.

    Attributes:
        is_open: frames may go.
        wants_to_write: it waits for room, and not only for what comes.

    Raises:
        OSError: there is no way there.
    """

    def __init__(self, host: str, port: int, pin: bytes, secret: bytes) -> None:
        self._pin = pin
        self._unsent = secret
        self._came = bytearray()
        self.is_open = False
        self.wants_to_write = True
        self._is_connected = False
        family, _, _, _, place = socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST)[0]
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            _set_up(connection)
            connection.connect_ex(place)  # how it ended is asked when the socket can be written to
            self._tls: socket.socket | ssl.SSLSocket = connection
        except OSError:
            connection.close()
            raise

    def fileno(self) -> int:
        """For `select`."""
        return self._tls.fileno()

    def go_on(self) -> None:
        """Go on with the beginning, as far as nothing has to be waited for; then `is_open` is set.

        Raises:
            OSError: nobody answers, or somebody else does.
        """
        if not self._is_connected:
            error = self._tls.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, "nobody answers there")
            self._is_connected = True
            self._tls = _context().wrap_socket(self._tls, do_handshake_on_connect=False)
        assert isinstance(self._tls, ssl.SSLSocket)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self.wants_to_write = False
            return
        except ssl.SSLWantWriteError:
            self.wants_to_write = True
            return
        shown = self._tls.getpeercert(binary_form=True)
        if shown is None or hashlib.sha256(shown).digest() != self._pin:
            raise ConnectionError("somebody else answers there")
        self.is_open = True
        self.push()

    def say(self, kind: int, source: bytes, n: int, data: bytes) -> None:
        """Send a frame; what does not go at once goes with `push`.

        Raises:
            OSError: it is broken.
        """
        self._unsent += HEAD.pack(kind, source, n, len(data)) + data
        self.push()

    def push(self) -> None:
        """Send what waits.

        Raises:
            OSError: it is broken.
        """
        try:
            while self._unsent:
                self._unsent = self._unsent[self._tls.send(self._unsent) :]
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        self.wants_to_write = bool(self._unsent)

    def receive(self) -> list[Frame]:
        """The whole frames that have come.

        Raises:
            OSError: it is broken, or over.
        """
        try:
            data = self._tls.recv(READ_BYTES)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return []
        if not data:
            raise ConnectionError("it has ended")
        self._came += data
        return take_frames(self._came)

    def close(self) -> None:
        """Leave."""
        self._tls.close()


def take_frames(came: bytearray) -> list[Frame]:
    """Take the whole frames off what has come.

    Raises:
        ConnectionError: one is none that a shim says.
    """
    found: list[Frame] = []
    at, size = 0, REPLY.size
    while len(came) - at >= size:
        kind, start, end, length = REPLY.unpack_from(came, at)
        if length > LONGEST or end > FARTHEST or (length and not start <= end):
            raise ConnectionError("a frame without measure")
        if len(came) - at - size < length:
            break
        at += size + length
        found.append((kind, start, end, bytes(came[at - length : at])))
    del came[:at]
    return found


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # its certificate is known by its hash
    context.verify_mode = ssl.CERT_NONE
    return context


def _set_up(connection: socket.socket) -> None:
    connection.setblocking(False)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", _IDLE_S), ("TCP_KEEPINTVL", _EVERY_S), ("TCP_KEEPCNT", _TIMES)):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

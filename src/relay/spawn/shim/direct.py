"""Direct ways to a task: a listener for one moment and one peer, who becomes a caller of the door, past all brokers.

    a caller of the door asks: at this address, with this certificate, for who shows this secret
    a stranger connects ─► TLS 1.3 ─► 32 bytes ─┬─ the secret: the listener is closed, and this is the direct way
                                                └─ others, or none within 2 s: dropped

The standard library's TLS is loaded when the first is asked for: a shim that nobody attaches to is as small as ever.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time

TYPE_CHECKING = False  # the checker takes the name for typing's, which costs 3 ms to import
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

SECRET_BYTES = 32
OFFER = struct.Struct(f"!{SECRET_BYTES}sB")
"""Before the address, whose length is the byte, and the certificate with its key, in PEM."""
LISTENS_S = 5.0
SECRET_S = 2.0
"""How long one that connected has for the secret."""
_COMERS, _MOST_COMERS = 4, 16
"""Connections of one offer that have not shown the secret, at once (more wait in the listener's queue) and in all."""
_ANY = ("0.0.0.0", "::")  # noqa: S104 - what is refused
_IDLE_S, _EVERY_S, _TIMES = 5, 2, 3
"""When the system asks a peer that says nothing whether it lives, and how often before it is taken for dead."""


def pack_offer(secret: bytes, address: str, pem: bytes) -> bytes:
    """What is asked for.

    Args:
        secret: 32 bytes.
        address: numeric, of this machine; listened on at a port that the system chooses.
        pem: a certificate and its key.
    """
    where = address.encode("ascii")
    return OFFER.pack(secret, len(where)) + where + pem


class Sealed:
    """A TLS connection as the door takes its sockets: what has to wait is a BlockingIOError."""

    __slots__ = ("_tls", "_waits", "fileno")

    def __init__(self, tls: ssl.SSLSocket, waits: tuple[type[OSError], ...]) -> None:
        self._tls = tls
        self._waits = waits
        self.fileno = tls.fileno

    def recv(self, size: int) -> bytes:
        """What has come, empty at the end."""
        try:
            return self._tls.recv(size)
        except self._waits:
            raise BlockingIOError from None

    def send(self, data: bytes) -> int:
        """Send what goes at once; where nothing does, `data` must begin as it did when this is asked again."""
        try:
            return self._tls.send(data)
        except self._waits:
            raise BlockingIOError from None

    def close(self) -> None:
        """End it, without a word."""
        self._tls.close()


class _Offer:
    """What one caller has asked for, as long as nobody has come."""

    __slots__ = ("came", "comers", "context", "listener", "owner", "secret", "source", "until")

    def __init__(
        self, owner: object, source: bytes, secret: bytes, context: ssl.SSLContext, listener: socket.socket
    ) -> None:
        self.owner = owner
        self.source = source
        self.secret = secret
        self.context = context
        self.listener = listener
        self.until = time.monotonic() + LISTENS_S
        self.comers: dict[int, _Comer] = {}
        self.came = 0

    @property
    def ends(self) -> list[float]:
        """When it is over, and when those who have come must have shown the secret."""
        return [self.until, *(each.until for each in self.comers.values())]


class _Comer:
    """One that has connected and has to show the secret."""

    __slots__ = ("is_sealed", "shown", "tls", "until")

    def __init__(self, tls: ssl.SSLSocket) -> None:
        self.tls = tls
        self.is_sealed = False
        self.shown = b""
        self.until = time.monotonic() + SECRET_S


class Ways:
    """The offers of one door.

    Args:
        poll: of the shim's loop.
        admit: given who came, whose offer it was, and the source that it may type under.
    """

    def __init__(self, poll: select.poll, admit: Callable[[Sealed, object, bytes], None]) -> None:
        self._poll = poll
        self._admit = admit
        self._offers: dict[int, _Offer] = {}
        """By the descriptors of their listeners and comers."""

    def offer(self, owner: object, source: bytes, asked: bytes) -> int:
        """Listen for who comes by a direct way; the port, 0 where none can be had here.

        Args:
            owner: who asks; at most one offer is open for it.
            source: what may be typed under.
            asked: as `pack_offer` makes it.
        """
        self.forget(owner)
        try:
            secret, length = OFFER.unpack_from(asked)
            address, pem = asked[OFFER.size :][:length].decode("ascii"), asked[OFFER.size + length :]
            offer = _Offer(owner, source, secret, _context(pem), _listen(address))
        except Exception:  # whatever is wanting on this machine: the other way goes on
            return 0
        self._watch(offer.listener, offer)
        return int(offer.listener.getsockname()[1])

    def _watch(self, connection: socket.socket, offer: _Offer) -> None:
        self._offers[connection.fileno()] = offer
        self._poll.register(connection, select.POLLIN)

    def hear(self, fd: int) -> bool:
        """Serve a descriptor of the loop; whether it is one of these."""
        offer = self._offers.get(fd)
        if offer is None:
            return False
        comer = offer.comers.get(fd)
        try:
            if comer is None:
                self._accept(offer)
            else:
                self._go_on(offer, comer)
        except Exception:  # whatever a stranger does to this: the task goes on
            self.close()
        return True

    def _accept(self, offer: _Offer) -> None:
        try:
            connection, _ = offer.listener.accept()
        except OSError:
            return
        try:
            _set_up(connection)
            tls = offer.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        except OSError:
            connection.close()
            return
        offer.comers[tls.fileno()] = _Comer(tls)
        offer.came += 1
        self._watch(tls, offer)
        self._heed(offer)

    def _heed(self, offer: _Offer) -> None:
        may_come = len(offer.comers) < _COMERS and offer.came < _MOST_COMERS
        self._poll.modify(offer.listener, select.POLLIN if may_come else 0)

    def _go_on(self, offer: _Offer, comer: _Comer) -> None:
        import hmac
        import ssl

        try:
            if not comer.is_sealed:
                comer.tls.do_handshake()
                comer.is_sealed = True
            shown = comer.tls.recv(SECRET_BYTES - len(comer.shown))
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return  # a handshake's few bytes go at once, so that it is the peer's turn
        except (OSError, ValueError):
            shown = b""
        comer.shown += shown
        if shown and len(comer.shown) < SECRET_BYTES:
            return
        if not shown or not hmac.compare_digest(comer.shown, offer.secret):
            self._drop(offer, comer)
            return
        self._leave_alone(comer.tls, offer)
        self._end(offer)
        self._admit(Sealed(comer.tls, (ssl.SSLWantReadError, ssl.SSLWantWriteError)), offer.owner, offer.source)

    def _drop(self, offer: _Offer, comer: _Comer) -> None:
        self._leave_alone(comer.tls, offer)
        comer.tls.close()
        self._heed(offer)

    def _leave_alone(self, tls: ssl.SSLSocket, offer: _Offer) -> None:
        fd = tls.fileno()
        self._poll.unregister(fd)
        del self._offers[fd], offer.comers[fd]

    def _end(self, offer: _Offer) -> None:
        for comer in list(offer.comers.values()):
            self._drop(offer, comer)
        fd = offer.listener.fileno()
        self._poll.unregister(fd)
        del self._offers[fd]
        offer.listener.close()

    def forget(self, owner: object) -> None:
        """Nobody may come any more for this one."""
        for offer in {offer for offer in self._offers.values() if offer.owner is owner}:
            self._end(offer)

    def pause_ms(self) -> float | None:
        """After how long `tend` has something to do; None where it has nothing."""
        if not self._offers:
            return None
        first = min(until for offer in self._all() for until in offer.ends)
        return max(0.0, (first - time.monotonic()) * 1000 + 1)

    def _all(self) -> set[_Offer]:
        return set(self._offers.values())

    def tend(self) -> None:
        """End what has had its time."""
        now = time.monotonic()
        for offer in self._all():
            if offer.until <= now:
                self._end(offer)
            for comer in [each for each in offer.comers.values() if each.until <= now]:
                self._drop(offer, comer)

    def close(self) -> None:
        """End all."""
        for offer in self._all():
            self._end(offer)


def _context(pem: bytes) -> ssl.SSLContext:
    import hmac  # noqa: F401 - loaded now, while all is in order
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    fd = os.memfd_create("relay-key", os.MFD_CLOEXEC)
    try:
        os.write(fd, pem)
        context.load_cert_chain(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
    return context


def _listen(address: str) -> socket.socket:
    family, _, _, _, place = socket.getaddrinfo(address, 0, flags=socket.AI_NUMERICHOST)[0]
    if place[0] in _ANY:
        raise ValueError("every address is none")
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.bind(place)
        listener.listen(_COMERS)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _set_up(connection: socket.socket) -> None:
    connection.setblocking(False)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", _IDLE_S), ("TCP_KEEPINTVL", _EVERY_S), ("TCP_KEEPCNT", _TIMES)):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

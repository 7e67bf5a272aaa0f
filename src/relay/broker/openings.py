"""Connections on which TLS is not through yet: how many there may be, and who gives way.

Nobody has shown a certificate at that point, so that anyone who reaches the port may hold such a connection. They
are counted from the accept to the end of the handshake; at the limit, the oldest one of whoever holds most gives
way, so that a flood from one place takes its own places.
"""

from __future__ import annotations

import contextlib
import gc
import ipaddress
import socket
from collections import Counter
from typing import Generic, TypeVar

One = TypeVar("One")

MAX_OPENING = 128
COLLECT_EVERY = 64


class Crowd(Generic[One]):
    """Who is here, and from which place: beyond the limit the oldest one of whoever holds most has to go.

    Args:
        most: how many may be here at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._sources: dict[One, str] = {}

    def __len__(self) -> int:
        return len(self._sources)

    def came(self, one: One, host: str) -> One | None:
        """One more is here, from this address; who has to go for it, and is here no more, or None."""
        self._sources[one] = source_of(host)
        if len(self._sources) <= self._most:
            return None
        ((greediest, _),) = Counter(self._sources.values()).most_common(1)
        oldest = next(each for each, source in self._sources.items() if source == greediest)
        self.left(oldest)
        return oldest

    def left(self, one: One) -> bool:
        """It is here no more; whether it was."""
        return self._sources.pop(one, None) is not None


class Openings:
    """The connections that are opening now."""

    def __init__(self, most: int = MAX_OPENING) -> None:
        self._crowd: Crowd[Opening] = Crowd(most)
        self._by_number: dict[int, Opening] = {}
        self._failed = 0

    def __len__(self) -> int:
        return len(self._crowd)

    def came(self, connection: Opening, host: str) -> None:
        """One more was accepted."""
        self._by_number[connection.fileno()] = connection
        oldest = self._crowd.came(connection, host)
        if oldest is not None:
            self._end(oldest)

    def _end(self, oldest: Opening) -> None:
        del self._by_number[oldest.fileno()]
        self._note_failed()
        with contextlib.suppress(OSError):
            # not closed: that is for the event loop, which reads the end of it now
            oldest.shutdown(socket.SHUT_RDWR)

    def over(self, connection: Opening) -> None:
        """It ends before its handshake is through; or was through before, and is forgotten here already."""
        if self._forget(connection):
            self._note_failed()

    def _note_failed(self) -> None:
        self._failed += 1
        if self._failed % COLLECT_EVERY == 0:
            # A handshake that fails leaves its read buffer (websocket.py) in a cycle of exception and frames
            # (asyncio.sslproto). The collector counts objects, not bytes: left alone, it comes late.
            gc.collect()

    def through(self, number: int) -> None:
        """The handshake on the connection with this file number is through."""
        connection = self._by_number.get(number)
        if connection is not None:
            self._forget(connection)

    def _forget(self, connection: Opening) -> bool:
        if not self._crowd.left(connection):
            return False
        del self._by_number[connection.fileno()]
        return True


def source_of(host: str) -> str:
    """What counts as one place: an IPv4 address, or the network of an IPv6 one (a machine has 2^64 of those)."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


class Opening(socket.socket):
    """An accepted connection that is counted until its handshake is through."""

    openings: Openings

    def close(self) -> None:
        """Close it; it counts no more."""
        self.openings.over(self)
        super().close()


class Port(socket.socket):
    """A listening socket whose connections are counted from the moment they are accepted."""

    openings: Openings

    @classmethod
    def bound(cls, family: int, address: tuple[object, ...], openings: Openings) -> Port:
        """One that listens at an address soon.

        Raises:
            OSError: the address is taken, or not this machine's.
        """
        # the protocol is named: asyncio turns Nagle's algorithm off only where it is
        port = cls(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        port.openings = openings
        try:
            port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                port.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            port.bind(address)
        except BaseException:
            port.close()
            raise
        return port

    def accept(self) -> tuple[socket.socket, tuple[object, ...]]:
        """The next connection and its address."""
        plain, address = super().accept()
        connection = Opening(self.family, self.type, self.proto, plain.detach())
        connection.openings = self.openings
        self.openings.came(connection, address[0])
        return connection, address

"""The WebSocket carrier: TLS with the workspace's certificates, one binary message a frame, no compression."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from asyncio import sslproto
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidHandshake, WebSocketException
from websockets.protocol import State

from relay.broker.at_once import AtOnce
from relay.broker.carrier import CarrierClosed, Ends
from relay.broker.openings import Crowd, Openings, Port
from relay.core.errors import Code, LocalFault, PeerFault, Unreachable
from relay.core.frames import MAX_FRAME
from relay.core.ids import BrokerId
from relay.core.network_words import close_words, dial_words
from relay.trust.tls import REFUSED_BY_PEER, Purpose, admit_connection, peer_public_key, require_peer

if TYPE_CHECKING:
    from websockets.asyncio.connection import Connection

OPEN_S = 10.0
CLOSE_S = 2.0
MAX_QUEUE = 8
WRITE_LIMIT = 1024 * 1024
MAX_UNGREETED = 64
# What asyncio keeps for each TLS connection to read into, for as long as it lives: 256 KiB, which is most of what an
# idle link costs. A TLS record is at most 16 KiB, so that two fit; it is the class that says it, there is no argument.
READ_BUFFER = 32 * 1024
sslproto.SSLProtocol.max_size = READ_BUFFER
# Above the limit at which senders wait (1 MiB) and a frame beyond it stands only what the library answers to pings by
# itself. Relay asks by frames of its own, so that who piles this up reads nothing, and means no good.
MAX_UNREAD = WRITE_LIMIT + (1 << 20)
MAX_UNREAD_PAIRING = 64 * 1024
ABNORMAL = 1006  # RFC 6455: no close frame was seen
MOST_REASON = 120
PAIRING_S = 30.0  # from the handshake to the end, whatever the other side does
_log = logging.getLogger(__name__)
# its own words on a stranger's bad handshake are a traceback a time; what matters is logged here
_quiet = logging.getLogger("relay.websocket")
_quiet.setLevel(logging.CRITICAL)


class WebSocketCarrier:
    """One WebSocket to one peer whose TLS key was checked."""

    def __init__(
        self, connection: AtOnce, peer_public: bytes, *, dialled: bool, address: str, is_former: bool
    ) -> None:
        self._connection = connection
        self.peer_public = peer_public
        self.dialled = dialled
        self.address = address
        self.is_former = is_former
        near, far = connection.local_address, connection.remote_address
        self.ends = Ends(near[0], far[0], dialled) if isinstance(near, tuple) and isinstance(far, tuple) else None

    @property
    def arrived(self) -> int:
        """How often bytes have come."""
        return self._connection.arrived

    @property
    def at_once(self) -> Callable[[bytes], None] | None:
        """What is given each `Said` frame as it comes."""
        return self._connection.at_once

    @at_once.setter
    def at_once(self, hear: Callable[[bytes], None] | None) -> None:
        self._connection.at_once = hear

    def send_now(self, message: bytes) -> bool:
        connection = self._connection
        if connection.protocol.state is not State.OPEN or connection.transport.get_write_buffer_size():
            return False
        connection.protocol.send_binary(message)
        connection.send_data()
        return True

    async def send(self, message: bytes) -> None:
        try:
            await self._connection.send(message)
        except ConnectionClosed as closed:
            raise CarrierClosed(_words(closed)) from None

    async def receive(self) -> bytes:
        try:
            message = await self._connection.recv()
        except ConnectionClosed as closed:
            raise CarrierClosed(_words(closed)) from None
        if isinstance(self._connection, _Gated):
            _Gated.ungreeted[Purpose.LINK].left(self._connection)
        if isinstance(message, str):
            raise PeerFault("a frame was refused", code=Code.BAD_FRAME, why="it is text")
        return message

    async def close(self) -> None:
        await self._connection.close()


def _words(closed: ConnectionClosed) -> str:
    _log.debug("a connection ended: %s", closed)
    if closed.rcvd is None or closed.rcvd_then_sent is False:
        return close_words(closed.sent.code, by_us=True) if closed.sent else close_words(ABNORMAL)
    return _with_reason(close_words(closed.rcvd.code), closed.rcvd.reason)


def _with_reason(words: str, said: str) -> str:
    """The words with what the other side gave as its reason, where it did; never its control characters."""
    told = "".join(letter for letter in said[:MOST_REASON] if letter.isprintable())
    return f"{words}: {told}" if told else words


def _tls(connection: Connection) -> ssl.SSLObject:
    found = connection.transport.get_extra_info("ssl_object")
    assert isinstance(found, ssl.SSLObject)
    return found


def place_of(connection: Connection) -> str:
    """The other end of a connection, `host:port`."""
    address = connection.remote_address
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) else "unknown"


async def dial(
    address: str,
    expected: BrokerId,
    context: ssl.SSLContext,
    *,
    name: str = "link.relay.invalid",
    is_former: bool = False,
) -> WebSocketCarrier:
    """A connection to a broker, its key pinned.

    Args:
        address: `host:port`.
        expected: who has to answer.
        context: from `link_client_context`.
        name: the TLS name: which epoch it is of, from `server_name`.
        is_former: whether that one is over here.

    Raises:
        Unreachable: nobody answered in 10 s, or the workspace certificate was refused there.
        PeerFault: somebody else answered.
    """
    try:
        connection = await connect(
            f"wss://{address}/link",
            ssl=context,
            server_hostname=name,
            compression=None,
            max_size=MAX_FRAME,
            max_queue=MAX_QUEUE,
            write_limit=WRITE_LIMIT,
            open_timeout=OPEN_S,
            close_timeout=CLOSE_S,
            ping_interval=None,
            create_connection=_Dialled,
            proxy=None,
            logger=_quiet,
        )
    except (OSError, TimeoutError, EOFError, InvalidHandshake, WebSocketException) as error:
        why = _dial_words(error, address)
        raise Unreachable(f"{address} does not answer", why=why, hint="relay doctor") from error
    try:
        assert isinstance(connection, _Dialled)
        public = require_peer(_tls(connection), expected)
    except PeerFault:
        await connection.close()
        raise
    return WebSocketCarrier(connection, public, dialled=True, address=address, is_former=is_former)


def _dial_words(error: Exception, address: str) -> str:
    if isinstance(error, ssl.SSLError | EOFError) or "did not receive a valid HTTP response" in str(error):
        return REFUSED_BY_PEER
    return dial_words(error, address)


def _end_if_unread(connection: Connection, most: int) -> None:
    transport = connection.transport
    if isinstance(transport, asyncio.Transport) and transport.get_write_buffer_size() > most:
        _log.info("a connection was ended: the other side reads nothing of what it asks for")
        transport.abort()


class _Dialled(AtOnce, ClientConnection):
    """A connection that this side made, bounded in what the other side leaves unread."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        _end_if_unread(self, MAX_UNREAD)


Welcome = Callable[[WebSocketCarrier], Awaitable[None]]
Pair = Callable[[ServerConnection], Awaitable[None]]


class _Gated(AtOnce, ServerConnection):
    """A connection that passes the TLS gate before one byte of it is parsed."""

    purpose: Purpose | None = None
    _limit: asyncio.TimerHandle | None = None
    opening: ClassVar[Openings] = Openings()
    # apart, so that strangers who hold pairing connections open cannot keep members out
    ungreeted: ClassVar[dict[Purpose, Crowd[_Gated]]] = {purpose: Crowd(MAX_UNGREETED) for purpose in Purpose}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        _Gated.opening.through(transport.get_extra_info("socket").fileno())
        try:
            self.purpose = purpose = admit_connection(transport.get_extra_info("ssl_object"))
        except PeerFault as fault:
            _log.info("%s: %s", fault.message, fault.why)
            assert isinstance(transport, asyncio.Transport)
            transport.abort()
            return
        super().connection_made(transport)
        oldest = _Gated.ungreeted[purpose].came(self, transport.get_extra_info("peername")[0])
        if oldest is not None:
            _log.info("a connection was ended: too many are greeting at once, and most of them come from its place")
            oldest.transport.abort()
        if purpose is Purpose.PAIRING:
            assert isinstance(transport, asyncio.Transport)
            self._limit = asyncio.get_running_loop().call_later(PAIRING_S, transport.abort)

    def data_received(self, data: bytes) -> None:
        if self.purpose is not None:
            super().data_received(data)
            _end_if_unread(self, MAX_UNREAD_PAIRING if self.purpose is Purpose.PAIRING else MAX_UNREAD)

    def eof_received(self) -> None:
        if self.purpose is not None:
            super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.purpose is not None:
            _Gated.ungreeted[self.purpose].left(self)
            if self._limit is not None:
                self._limit.cancel()
            super().connection_lost(exc)


class Listener:
    """Takes connections in, on every listening address, for links and for pairing.

    Args:
        context: from `link_server_context`.
        welcome: runs a link over a carrier until it ends.
        pair: answers one pairing connection.
    """

    def __init__(self, context: ssl.SSLContext, welcome: Welcome, pair: Pair) -> None:
        self._context = context
        self._welcome = welcome
        self._pair = pair
        self._servers: list[Server] = []

    async def listen(self, host: str, port: int) -> str:
        """Listen on one more address; the first it stands for as it is, `host:port`.

        Raises:
            LocalFault: `port_taken`, or the address is none of this machine's.
        """
        try:
            infos = await asyncio.get_running_loop().getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            ports = _bound((family, address) for family, _, _, _, address in infos)
        except OSError as error:
            raise _cannot_listen(host, port, error) from None
        for each in ports:
            self._servers.append(await self._serve(each))
        found = ports[0].getsockname()
        return f"[{found[0]}]:{found[1]}" if ":" in found[0] else f"{found[0]}:{found[1]}"

    async def _serve(self, port: Port) -> Server:
        return await serve(
            self._handle,
            sock=port,
            ssl=self._context,
            create_connection=_Gated,
            compression=None,
            max_size=MAX_FRAME,
            max_queue=MAX_QUEUE,
            write_limit=WRITE_LIMIT,
            open_timeout=OPEN_S,
            close_timeout=CLOSE_S,
            ping_interval=None,
            server_header=None,
            logger=_quiet,
            ssl_handshake_timeout=OPEN_S,
        )

    async def _handle(self, connection: ServerConnection) -> None:
        assert isinstance(connection, _Gated)
        if connection.purpose is Purpose.PAIRING:
            await self._pair(connection)
            return
        tls = _tls(connection)
        place, former = place_of(connection), tls.context is not self._context
        public = peer_public_key(tls)
        await self._welcome(
            WebSocketCarrier(connection, public, dialled=False, address=place, is_former=former)
        )

    async def close(self) -> None:
        """Stop listening; links are ended by the mesh."""
        for server in self._servers:
            server.close()
        for server in self._servers:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(server.wait_closed(), CLOSE_S * 2)


def _bound(places: Iterable[tuple[int, tuple[Any, ...]]]) -> list[Port]:
    """A socket for each family and address; all, or OSError and none."""
    ports: list[Port] = []
    try:
        for family, address in dict.fromkeys(places):
            ports.append(Port.bound(family, address, _Gated.opening))
    except OSError:
        for port in ports:
            port.close()
        raise
    return ports


def _cannot_listen(host: str, port: int, error: OSError) -> LocalFault:
    taken = error.errno == 98 or "in use" in str(error)
    return LocalFault(
        f"cannot listen on {host}:{port}",
        code=Code.PORT_TAKEN if taken else Code.BAD_CONFIG,
        why="another program listens there" if taken else str(error.strerror or error),
        hint="relay config set listen HOST:PORT, with another port; then relay up",
    )

"""What a stranger, and a member gone bad, can put on a broker's port. Blocking sockets and hand-made frames.

A stranger has the address. The member gone bad has a home of the workspace: its identity and the workspace key.
"""

from __future__ import annotations

import itertools
import os
import random
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from relay.core.envelope import Body, Header
from relay.core.frames import HelloFrame, pack_frame
from relay.core.hello import PROTOCOL_VERSIONS, AuditHead, Binding, Hello, Role
from relay.core.ids import BrokerId
from relay.testing.node import Node
from relay.trust.hello import sign_hello
from relay.trust.identity import Identity, load_identity
from relay.trust.sealing import PeerKeys, seal
from relay.trust.tls import LINK_PROTOCOL, link_client_context, server_name
from relay.trust.workspace import Former, Workspace, load_workspace

ENDS_WITHIN = 30.0
UPGRADE = (
    "GET /link HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
BINARY = 0x82


class Hung(Exception):
    """The broker neither answered nor closed the connection."""


def websocket_frame(payload: bytes, first: int = BINARY, claimed: int | None = None, masked: bool = True) -> bytes:
    """One client's WebSocket frame.

    Args:
        payload: what it carries.
        first: the first byte: FIN, reserved bits, opcode.
        claimed: the length it claims, where that is another than the payload's.
        masked: as a client's must be; the mask is zero, so that the payload stands as it is.
    """
    size = len(payload) if claimed is None else claimed
    mask = 0x80 if masked else 0
    if size < 126:
        head = struct.pack("!BB", first, mask | size)
    elif size < 65_536:
        head = struct.pack("!BBH", first, mask | 126, size)
    else:
        head = struct.pack("!BBQ", first, mask | 127, size)
    return head + (bytes(4) if masked else b"") + payload


class Attacker:
    """Connections to one broker, with the keys of a member whose own broker is not running.

    Args:
        member: a node of the same workspace, stopped.
        victim: the broker under attack.

    Attributes:
        known_spawns: ids of spawns that the victim has.
    """

    def __init__(self, member: Node, victim: Node) -> None:
        self.identity: Identity = load_identity(Path(member.home / "identity.key"))
        self.workspace: Workspace = load_workspace(Path(member.home / "workspace.key"))
        self.victim = victim
        self._victim_identity = load_identity(Path(victim.home / "identity.key"))
        self._context = link_client_context(self.workspace, self.identity)
        self._starts = itertools.count(int(time.time()))
        self._name: str | None = None
        self.known_spawns: tuple[str, ...] = ()

    def come_with(self, held: Former) -> None:
        """Connect from now on with the key of an epoch that the member holds."""
        then = self.workspace.at(held)
        self._context, self._name = link_client_context(then, self.identity), server_name(then)

    @property
    def target(self) -> BrokerId:
        """The victim's id."""
        return self._victim_identity.id

    @contextmanager
    def tcp(self) -> Iterator[socket.socket]:
        """A bare connection."""
        with socket.create_connection(("127.0.0.1", self.victim.port), timeout=ENDS_WITHIN) as plain:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield plain

    @contextmanager
    def tls(self, context: ssl.SSLContext | None = None) -> Iterator[ssl.SSLSocket]:
        """A TLS connection; with the member's certificate where no context is given."""
        with self.tcp() as plain, (context or self._context).wrap_socket(
            plain, server_hostname=self._name
        ) as secured:
            yield secured

    @contextmanager
    def websocket(self) -> Iterator[ssl.SSLSocket]:
        """A member's connection after the WebSocket's opening."""
        with self.tls() as secured:
            secured.sendall(UPGRADE.format(host=self.victim.address).encode())
            head = b""
            while b"\r\n\r\n" not in head:
                more = secured.recv(4096)
                if not more:
                    raise ConnectionResetError("the upgrade was refused")
                head += more
            yield secured

    @contextmanager
    def link(self) -> Iterator[ssl.SSLSocket]:
        """A member's connection after its hello was sent."""
        with self.websocket() as opened:
            opened.sendall(websocket_frame(pack_frame(HelloFrame(self.hello()))))
            yield opened

    def hello(self) -> bytes:
        """A signed hello of a newer incarnation, for a connection that this side dialled."""
        return sign_hello(
            self.identity,
            Hello(
                versions=PROTOCOL_VERSIONS,
                public=self.identity.public,
                name="gone-bad",
                role=Role.MEMBER,
                incarnation=next(self._starts),
                nonce=os.urandom(16),
                roster_head=bytes(32),
                audit_head=AuditHead(0, bytes(32)),
                binding=Binding(self.identity.public, self._victim_identity.public).digest,
                seen_of_you=0,
                addresses=(),
                clock_ms=time.time_ns() // 1_000_000,
            ),
        )

    def envelope(self, kind: str, body: Body) -> bytes:
        """An envelope to the victim, sealed and signed as it should be."""
        now = time.time_ns() // 1_000_000
        sealing = self._victim_identity.sealing
        keys = PeerKeys(self.target, self._victim_identity.public, sealing.public)
        header = Header(
            kind=kind,
            id=os.urandom(16),
            origin=self.identity.id,
            recipient=self.target,
            key_id=sealing.key_id,
            incarnation=next(self._starts),
            created=now,
            expires=now + 60_000,
        )
        return seal(self.identity, keys, header, body)


def finish(connection: socket.socket) -> bytes:
    """Say that nothing more comes, and read until the broker has closed the connection; what it said.

    Raises:
        Hung: it did not close.
    """
    said = b""
    try:
        # of the TCP connection under TLS too: an end without a farewell, as from a machine that went away
        socket.socket.shutdown(connection, socket.SHUT_WR)
        while more := connection.recv(65_536):
            said += more
    except TimeoutError:
        raise Hung(f"still open after {ENDS_WITHIN:g} s") from None
    except OSError:  # thrown out already
        pass
    return said


def client_hello(rng: random.Random) -> bytes:
    """The first flight of a TLS client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([rng.choice((LINK_PROTOCOL, "relay-pair/1", "h2", "relay/9"))])
    half = context.wrap_bio(incoming, outgoing)
    with suppress(ssl.SSLWantReadError):
        half.do_handshake()
    return outgoing.read()

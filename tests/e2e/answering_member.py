"""A member gone bad that is asked something live: it reads what it is sent, and answers as a test tells it to."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from relay.core.envelope import Body, Envelope, unpack_envelope
from relay.core.frames import Batch, Ping, Pong, pack_frame, unpack_frame
from relay.testing.node import Node
from relay.trust.sealing import open_body
from tests.fuzz.attacker import Attacker, websocket_frame


def _exactly(link: ssl.SSLSocket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = link.recv(size - len(data))
        if not more:
            raise ConnectionResetError("the link was ended")
        data += more
    return data


def _frame(link: ssl.SSLSocket) -> bytes:
    """The payload of the next binary frame; a server's are not masked."""
    while True:
        first, size = _exactly(link, 2)
        if size in (126, 127):
            size = int.from_bytes(_exactly(link, 2 if size == 126 else 8), "big")
        payload = _exactly(link, size)
        if first & 0x0F == 2:
            return payload


@dataclass
class Asked:
    """What came, opened."""

    envelope: Envelope
    content: dict[str, Any]


class AnsweringMember(Attacker):
    """An attacker with a link that it reads from."""

    def __init__(self, member: Node, victim: Node) -> None:
        super().__init__(member, victim)
        self._came: list[bytes] = []

    @contextmanager
    def listening(self) -> Iterator[ssl.SSLSocket]:
        """A link of this member's."""
        self._came = []
        with self.link() as link:
            link.settimeout(20)
            yield link

    def next_of(self, link: ssl.SSLSocket, kind: str) -> Asked:
        """The next envelope of a kind; pings are answered meanwhile."""
        while True:
            while self._came:
                envelope = unpack_envelope(self._came.pop(0))
                if envelope.header.kind == kind:
                    return Asked(envelope, open_body(self.identity, envelope).content)
            self._hear(link)

    def _hear(self, link: ssl.SSLSocket) -> None:
        frame = unpack_frame(_frame(link))
        if isinstance(frame, Ping):
            link.sendall(websocket_frame(pack_frame(Pong(frame.n))))
        self._came += frame.envelopes if isinstance(frame, Batch) else ()

    def say(self, link: ssl.SSLSocket, kind: str, content: dict[str, Any]) -> None:
        """Say something to the victim."""
        letter = self.envelope(kind, Body(os.urandom(8).hex(), content))
        link.sendall(websocket_frame(pack_frame(Batch((letter,)))))



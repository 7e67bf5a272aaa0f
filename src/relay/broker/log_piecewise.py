"""The pieces of a transcript between two that are linked: in no envelope, as the `data` of a channel is.

    log.open, with its room ──►  target
    ◄── DATA 0 … room-1          no more than the reader has room for
    READ, how many ──►           whenever it has read a quarter of that
    ◄── DATA …

The link proves and seals what an envelope would. What an envelope costs is a signature over each of its bytes, which
for a fast writer was a third of all that its machine did.
"""

from __future__ import annotations

import asyncio
from typing import Any

from relay.broker.link import Link
from relay.core.errors import PeerFault
from relay.core.ids import BrokerId
from relay.core.streams import pack_piece

DATA, READ = 3, 4
"""The families of pieces (`core.streams`): what is read, and how much of it was."""
ROOM = 32
"""Pieces that may be under way or unread at once: 4 MiB, as much as a link takes."""
TOLD_EVERY = ROOM // 4
_MOST_ROOM = 1_000
_IN_NO_MESSAGE = ("stream", "n")


def takes_pieces(link: Link, peer: BrokerId) -> bool:
    """Whether what is read of a peer may come over that link in pieces."""
    return link.peer == peer and link.hears_pieces


def data_piece(content: dict[str, Any]) -> bytes | None:
    """The content of a `log.data` as a piece; None where it is too long for one."""
    message = {key: value for key, value in content.items() if key not in _IN_NO_MESSAGE}
    return pack_piece(DATA, _names(content["stream"]) | {"n": content["n"], "ack": 0, "message": message})


def data_of(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a `log.data` that came as a piece.

    Raises:
        PeerFault: it has another form.
    """
    message = content["message"]
    if type(message) is not dict or not {"chunks", "end"} <= message.keys():
        raise PeerFault("a piece of a log was refused", why="it has another form")
    return message | {"stream": content["stream"], "n": content["n"]}


def read_piece(stream: bytes, count: int) -> bytes | None:
    """How many pieces of a stream were read."""
    return pack_piece(READ, _names(stream) | {"n": 0, "ack": count, "message": None})


def _names(stream: bytes) -> dict[str, Any]:
    return {"stream": stream, "session": stream}


def room_in(content: dict[str, Any]) -> int | None:
    """The room that a `log.open` tells of; None where its reader takes envelopes.

    Raises:
        PeerFault: it has another form.
    """
    room = content.get("room")
    if room is not None and (type(room) is not int or not 0 < room <= _MOST_ROOM):
        raise PeerFault("a log request was refused", why="its room has another form")
    return room


class Reader:
    """Says how much was read of one stream, to who waits for that."""

    def __init__(self, link: Link, stream: bytes) -> None:
        self._link = link
        self._stream = stream
        self._read = self._told = 0

    def has_read(self) -> None:
        """Another piece was read. A word that could not be said is said with the next one."""
        self._read += 1
        if self._read - self._told >= TOLD_EVERY:
            piece = read_piece(self._stream, self._read)
            if piece is not None and self._link.say_piece(piece):
                self._told = self._read


class Room:
    """What a reader has room for.

    Args:
        size: how many pieces at once.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._sent = self._read = 0
        self._more = asyncio.Event()
        self._more.set()

    def sent(self) -> None:
        """Another piece went out."""
        self._sent += 1
        self._set()

    def read(self, count: int) -> None:
        """So many were read in all."""
        self._read = max(self._read, min(count, self._sent))
        self._set()

    def _set(self) -> None:
        if self._sent - self._read < self._size:
            self._more.set()
        else:
            self._more.clear()

    async def wait(self) -> None:
        """Until there is some."""
        await self._more.wait()

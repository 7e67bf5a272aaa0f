"""What live envelopes of one exchange have in common: a random id that its opener chose.

And pieces: what the `data` of a channel, or of a log, is between two brokers that are linked, in no envelope.
"""

from __future__ import annotations

import struct
from typing import Any

from relay.core.errors import PeerFault
from relay.core.wire import pack, unpack

STREAM_BYTES = 16
MAX_PIECE = 250 * 1024
_PIECE = struct.Struct("!B16s16sQQ")  # family, stream, session, n, ack; the message follows, packed


def stream_of(content: dict[str, Any], what: str) -> bytes:
    """The stream that a message belongs to.

    Args:
        content: of its body; it has the key `stream`.
        what: is refused otherwise ("a log request").

    Raises:
        PeerFault: it has another form.
    """
    stream = content["stream"]
    if type(stream) is not bytes or len(stream) != STREAM_BYTES:
        raise PeerFault(f"{what} was refused", why="its stream has another form")
    return stream


def pack_piece(family: int, content: dict[str, Any]) -> bytes | None:
    """The content of a channel's `data` as a piece; None where only an envelope can carry it.

    Args:
        family: the number of its sort of channel, 0 to 255.
        content: `stream`, `session`, `n`, `ack` and `message`.
    """
    if len(content["session"]) != STREAM_BYTES:
        return None
    head = _PIECE.pack(family, content["stream"], content["session"], content["n"], content["ack"])
    piece = head + pack(content["message"])
    return piece if len(piece) <= MAX_PIECE else None


def unpack_piece(piece: bytes) -> tuple[int, dict[str, Any]]:
    """Family and content of a piece.

    Raises:
        PeerFault: it has another form.
    """
    if not _PIECE.size < len(piece) <= MAX_PIECE:
        raise PeerFault("a message was refused", why="its piece has another length")
    family, stream, session, n, ack = _PIECE.unpack_from(piece)
    message = unpack(piece[_PIECE.size :], MAX_PIECE)
    return family, {"stream": stream, "session": session, "n": n, "ack": ack, "message": message}

"""Link frames: what stands in one WebSocket message between two brokers, msgpack `[type, …]`.

    [0, hello bytes]            once each way, first
    [1, [envelope bytes, …]]    at most 32 envelopes and 300 KiB
    [2, n] / [3, n]             ping and its answer
    [4, reason]                 goodbye: "asleep", "down", "replaced", "refused: …"
    [5, bytes]                  credit: how many more bytes of envelopes the sender of this frame will take
    [6, [envelope bytes, …]]    hold: the sender's own, for somebody else; to be kept until the recipient has them
    [7, [[id, why not], …]]     custody: what became of each of them; an empty text says that it is kept durably
    [8, [id, …]]                taken: the sender of this frame has these, or never will: who holds them may forget them
    [9, [envelope bytes, …]]    pass: the sender's own, for somebody else; to be handed on at once, or dropped
    [10, [piece, …]]            said: pieces of channels between these two brokers (`core.streams`), in no envelope
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from relay.core.envelope import MAX_ENVELOPE
from relay.core.errors import Code, PeerFault
from relay.core.ids import ENVELOPE_ID_BYTES
from relay.core.values import frozen
from relay.core.wire import pack, unpack

MAX_FRAME = 320 * 1024
MAX_BATCH = 32
MAX_BATCH_BYTES = 300 * 1024
MAX_HELLO = 8 * 1024
MAX_REASON = 200
SAID = NEWEST = 10
"""The highest type that this broker reads; a hello says it, and one that says none reads up to 9."""
SAID_MARK = b"\x92\x0a"
"""How a `Said` begins, and no other frame."""


@frozen
class HelloFrame:
    """The signed hello, not yet verified."""

    hello: bytes


@frozen
class Batch:
    """Envelopes, as bytes."""

    envelopes: tuple[bytes, ...]


@frozen
class Ping:
    """Asks for a Pong of the same number."""

    n: int


@frozen
class Pong:
    """Answers a Ping."""

    n: int


@frozen
class Bye:
    """The other side leaves, and says why."""

    reason: str


@frozen
class Credit:
    """The other side will take this many more bytes of envelopes."""

    amount: int


@frozen
class Hold:
    """Envelopes for somebody else, to be kept."""

    envelopes: tuple[bytes, ...]


@frozen
class Custody:
    """What became of envelopes that were to be kept: their ids, and why not; an empty text means kept."""

    answers: tuple[tuple[bytes, str], ...]


@frozen
class Taken:
    """Ids of envelopes that need not be kept for the sender of this frame any more."""

    ids: tuple[bytes, ...]


@frozen
class Pass:
    """Envelopes for somebody else, to be handed on at once or dropped."""

    envelopes: tuple[bytes, ...]


@frozen
class Said:
    """Pieces of channels that both ends of this link hold."""

    pieces: tuple[bytes, ...]


Frame = HelloFrame | Batch | Ping | Pong | Bye | Credit | Hold | Custody | Taken | Pass | Said


def pack_frame(frame: Frame) -> bytes:
    """The frame as one WebSocket message."""
    match frame:
        case HelloFrame(hello):
            return pack([0, hello])
        case Batch(envelopes):
            return pack([1, list(envelopes)])
        case Ping(n):
            return pack([2, n])
        case Pong(n):
            return pack([3, n])
        case Bye(reason):
            return pack([4, reason[:MAX_REASON]])
        case Credit(amount):
            return pack([5, amount])
        case Hold(envelopes):
            return pack([6, list(envelopes)])
        case Custody(answers):
            return pack([7, [[each, why[:MAX_REASON]] for each, why in answers]])
        case Taken(ids):
            return pack([8, list(ids)])
        case Pass(envelopes):
            return pack([9, list(envelopes)])
        case Said(pieces):
            return pack([10, list(pieces)])


def _fault(why: str) -> PeerFault:
    return PeerFault("a frame was refused", code=Code.BAD_FRAME, why=why)


def _hello(value: object) -> Frame:
    if type(value) is not bytes or len(value) > MAX_HELLO:
        raise _fault("a hello of another form")
    return HelloFrame(value)


def _envelopes(value: object) -> tuple[bytes, ...]:
    items = _items(value)
    if not all(type(item) is bytes and len(item) <= MAX_ENVELOPE for item in items):
        raise _fault("a batch of another form")
    return tuple(items)


def _items(value: object) -> list[Any]:
    if type(value) is not list or not 0 < len(value) <= MAX_BATCH:
        raise _fault("a batch of another form")
    return value


def _is_id(value: object) -> bool:
    return type(value) is bytes and len(value) == ENVELOPE_ID_BYTES


def _is_answer(value: object) -> bool:
    return (
        type(value) is list
        and len(value) == 2
        and _is_id(value[0])
        and type(value[1]) is str
        and len(value[1]) <= MAX_REASON
    )


def _custody(value: object) -> Frame:
    items = _items(value)
    if not all(map(_is_answer, items)):
        raise _fault("an answer about custody of another form")
    return Custody(tuple((each, why) for each, why in items))


def _taken(value: object) -> Frame:
    items = _items(value)
    if not all(map(_is_id, items)):
        raise _fault("ids of another form")
    return Taken(tuple(items))


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**53:
        raise _fault("a number of another form")
    return value


def _bye(value: object) -> Frame:
    if type(value) is not str or len(value) > MAX_REASON:
        raise _fault("a goodbye of another form")
    return Bye(value)


_READERS: dict[int, Callable[[object], Frame]] = {
    0: _hello,
    1: lambda value: Batch(_envelopes(value)),
    2: lambda value: Ping(_number(value)),
    3: lambda value: Pong(_number(value)),
    4: _bye,
    5: lambda value: Credit(_number(value)),
    6: lambda value: Hold(_envelopes(value)),
    7: _custody,
    8: _taken,
    9: lambda value: Pass(_envelopes(value)),
    10: lambda value: Said(_envelopes(value)),
}


def unpack_frame(data: bytes) -> Frame:
    """The frame in one message.

    Raises:
        PeerFault: `bad_frame` or `bad_envelope`; the link is to be closed.
    """
    parts = unpack(data, MAX_FRAME)
    if type(parts) is not list or len(parts) != 2 or type(parts[0]) is not int or parts[0] not in _READERS:
        raise _fault("an unknown frame")
    return _READERS[parts[0]](parts[1])

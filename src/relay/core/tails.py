"""The end of a transcript as it travels to the spawn's origin, to be read there while its target sleeps.

A tail is at most 32 KiB of output: 400 lines of 80 columns, twice what stands in the snapshot itself, and little enough
that the envelope of a result stays below 100 KiB and ten thousand such results below 320 MiB.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

from relay.core.errors import Code, PeerFault
from relay.core.values import frozen

MAX_TAIL_BYTES = 32 * 1024
MAX_PIECES = 512  # what changes between its two streams at each letter is cut earlier, or its frame would outweigh it
_NUMBERS = 4


@frozen
class Piece:
    """Output of one stream.

    Attributes:
        offset, next_offset: where it stands in the log, bytes.
        stream: 0 for stdout, 1 for stderr.
        at: when its first byte was read, milliseconds since 1970 on the target's clock.
        data: the bytes as they were.
    """

    offset: int
    next_offset: int
    stream: int
    at: int
    data: bytes


@frozen
class Tail:
    """The end of one attempt's transcript.

    Attributes:
        attempt: which try.
        at: as of when, milliseconds since 1970 on the target's clock.
        pieces: oldest first, without a gap between them.
    """

    attempt: int
    at: int
    pieces: tuple[Piece, ...]

    @property
    def missing(self) -> int:
        """How many bytes of the log stand before it."""
        return self.pieces[0].offset if self.pieces else 0

    @property
    def end(self) -> int:
        """The offset in the log behind its last byte."""
        return self.pieces[-1].next_offset if self.pieces else 0

    def to_content(self) -> dict[str, Any]:
        """Its form on the wire."""
        pieces = [[each.offset, each.next_offset, each.stream, each.at, each.data] for each in self.pieces]
        return {"attempt": self.attempt, "at": self.at, "pieces": pieces}


def earlier(tail: Tail, by: int) -> Tail:
    """The same tail with its time on another clock, one that shows `by` milliseconds less."""
    return dataclasses.replace(tail, at=max(tail.at - by, 0))


def tail_from_content(content: object) -> Tail:
    """A tail as it stood in an envelope; unknown keys are ignored.

    Raises:
        PeerFault: it has another form, or is longer than a tail may be.
    """
    if type(content) is not dict or not (_is_count(content.get("attempt")) and _is_count(content.get("at"))):
        raise _refused()
    pieces = content.get("pieces")
    if type(pieces) is not list or len(pieces) > MAX_PIECES or not all(map(_is_piece, pieces)):
        raise _refused()
    made = tuple(Piece(*each) for each in pieces)
    in_order = all(one.next_offset <= other.offset for one, other in itertools.pairwise(made))
    if not in_order or sum(len(each.data) for each in made) > MAX_TAIL_BYTES:
        raise _refused()
    return Tail(content["attempt"], content["at"], made)


def _refused() -> PeerFault:
    return PeerFault("the tail of a log was refused", code=Code.BAD_ENVELOPE, why="it has another form")


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**53


def _is_piece(value: object) -> bool:
    return (
        type(value) is list
        and len(value) == _NUMBERS + 1
        and all(map(_is_count, value[:_NUMBERS]))
        and value[0] <= value[1]
        and value[2] in (0, 1)
        and type(value[_NUMBERS]) is bytes
    )

"""Which chunks of a transcript make the next piece for a reader: from an offset, the last lines, what fits a frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from relay.core.errors import PeerFault
from relay.spawn import transcript
from relay.spawn.shim.frames import BLOCK
from relay.spawn.transcript import Chunk

PIECE = 128 * 1024
MANY = 3_000
"""Chunks that go together: what stands beside the data of each is 34 bytes at most, and an envelope has 250 KiB."""


def read(log: Path, offset: int) -> list[Chunk]:
    """The whole chunks from an offset on, up to a piece; none where there is no transcript yet."""
    try:
        return list(transcript.chunks(log, offset, PIECE))
    except FileNotFoundError:
        return []


def last_lines(log: Path, lines: int) -> tuple[list[Chunk], int]:
    """Where the last lines begin, found from the end without keeping what is passed.

    Returns:
        The chunk that holds their beginning, cut to it (none where the transcript is empty or has no more lines; the
        gap where fewer are kept), and the offset to read on from.
    """
    wanted, is_last = lines, True
    try:
        for chunk in transcript.backwards(log):
            if chunk.missing:
                return [chunk], chunk.next_offset
            unended = is_last and chunk.data.endswith(b"\n")
            ends = chunk.data.count(b"\n") - unended
            if ends >= wanted:
                return [_cut(chunk, wanted + unended)], chunk.next_offset
            wanted -= ends
            is_last = False
    except FileNotFoundError:
        return [], 0
    return [], 0


def last_of(found: list[Chunk], lines: int | None) -> list[Chunk]:
    """The last lines of what is here, or all of it where no number is given."""
    if lines is None:
        return found
    wanted, is_last = lines, True
    for at in range(len(found) - 1, -1, -1):
        unended = is_last and found[at].data.endswith(b"\n")
        ends = found[at].data.count(b"\n") - unended
        if ends >= wanted:
            return [_cut(found[at], wanted + unended), *found[at + 1 :]]
        wanted -= ends
        is_last = False
    return found


def recalled(log: Path, size: int) -> int:
    """Where the last so many bytes of output begin, whole chunks of them."""
    seen, at = 0, 0
    try:
        for chunk in transcript.backwards(log):
            at, seen = chunk.offset, seen + len(chunk.data)
            if seen >= size:
                break
    except FileNotFoundError:
        return 0
    return at


def first_since(log: Path, at_ms: int) -> int:
    """An offset before all that was written at or after a moment, and not far before it: found by halving.

    A clock that was set back in between may leave more before it than had to be; the reader drops that.
    """
    try:
        head, rest = transcript.blocks(log)
        low, high = 0, len(head) + len(rest) - 1
        while low < high:
            middle = (low + high + 1) // 2
            start = _start_of(middle, head, rest)
            begins = next(transcript.split(transcript.raw(log, start, BLOCK), start), None)
            low, high = (middle, high) if begins is not None and begins.at_ms < at_ms else (low, middle - 1)
    except FileNotFoundError:
        return 0
    return _start_of(low, head, rest) if head or rest else 0


def _start_of(block: int, head: range, rest: range) -> int:
    return head[block] if block < len(head) else rest[block - len(head)]


def not_before(found: list[Chunk], at_ms: int) -> list[Chunk]:
    """Those written at or after a moment, from the first such one on."""
    return next((found[n:] for n, chunk in enumerate(found) if chunk.at_ms >= at_ms), [])


def _cut(chunk: Chunk, newlines: int) -> Chunk:
    at = len(chunk.data)
    for _ in range(newlines):
        at = chunk.data.rindex(b"\n", 0, at)
    return Chunk(chunk.offset, chunk.next_offset, chunk.stream, chunk.at_ms, chunk.data[at + 1 :])


def batches(found: list[Chunk]) -> list[list[Chunk]]:
    """The chunks in groups that fit an envelope each."""
    made: list[list[Chunk]] = []
    size = 0
    for chunk in found:
        # a chunk may be empty: what a tail cuts off may be all of it
        if not made or size + len(chunk.data) > PIECE or len(made[-1]) == MANY:
            made.append([])
            size = 0
        made[-1].append(chunk)
        size += len(chunk.data)
    return made


def chunks_of(content: dict[str, Any]) -> list[Chunk]:
    """The pieces of a transcript in the body of a `log.data`.

    Raises:
        PeerFault: they have another form.
    """
    chunks = content["chunks"]
    if type(chunks) is not list or not all(map(_is_chunk, chunks)):
        raise PeerFault("a piece of a log was refused", why="it has another form")
    return [Chunk(*each) for each in chunks]


def _is_chunk(piece: object) -> bool:
    # by type, never by conversion: bytes(n) of a peer's number would be n bytes of memory
    return (
        type(piece) is list
        and len(piece) == 5
        and all(type(number) is int and 0 <= number < 2**53 for number in piece[:4])
        and type(piece[4]) is bytes
    )

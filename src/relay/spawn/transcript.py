"""Reading an attempt's log: by file offset, while it is still being written, with a torn tail or without.

The format stands in `shim/frames.py`. An offset handed out here is always the start of a frame (or of the zeros
before one) and may be kept and used again, by this process or another.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.spawn.shim.frames import BLOCK, HEAD, MAGIC, padding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_READ = 4 * BLOCK


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of output.

    Attributes:
        offset: where its frame begins in the log, bytes.
        next_offset: where to read on.
        stream: 0 for stdout, 1 for stderr.
        at_ms: when the shim read it, ms since the epoch.
        data: what the task wrote; cut anywhere, also within a character.
    """

    offset: int
    next_offset: int
    stream: int
    at_ms: int
    data: bytes


def split(raw: bytes, offset: int) -> Iterator[Chunk]:
    """The whole frames of `raw`, which was read at `offset` of a log; stops at a torn or foreign tail."""
    at = 0
    while True:
        start = at + padding(offset + at)
        if start + HEAD.size > len(raw):
            return
        magic, stream, length, at_ms = HEAD.unpack_from(raw, start)
        end = start + HEAD.size + length
        if magic != MAGIC or end > len(raw):
            return
        yield Chunk(offset + at, offset + end, stream, at_ms, raw[start + HEAD.size : end])
        at = end


def raw(log: Path, offset: int, limit: int) -> bytes:
    """Whole frames from `offset` on, at most `limit` bytes, for forwarding; the receiver calls `split`.

    A single frame needs up to 64 KiB, which is the least sensible `limit`.
    """
    with log.open("rb") as source:
        found = os.pread(source.fileno(), limit, offset)
    end = offset
    for chunk in split(found, offset):
        end = chunk.next_offset
    return found[: end - offset]


def chunks(log: Path, offset: int = 0, limit: int | None = None) -> Iterator[Chunk]:
    """The chunks from `offset` on, as long as they end within `limit` bytes of the file; all without a limit."""
    stop = None if limit is None else offset + limit
    while found := list(split(raw(log, offset, _READ), offset)):
        for chunk in found:
            if stop is not None and chunk.next_offset > stop:
                return
            yield chunk
        offset = found[-1].next_offset


def tail(log: Path, limit: int) -> bytes:
    """The last `limit` bytes that the task wrote, both streams in the order they came."""
    pieces: list[bytes] = []
    for chunk in backwards(log):
        pieces.append(chunk.data)
        limit -= len(chunk.data)
        if limit <= 0:
            break
    whole = b"".join(reversed(pieces))
    return whole[-limit:] if limit < 0 else whole


def tail_text(log: Path, limit: int) -> str:
    """The last `limit` bytes as text; what is no UTF-8, or was cut at the front, shows as U+FFFD."""
    return tail(log, limit).decode("utf-8", "replace")


def backwards(log: Path) -> Iterator[Chunk]:
    """The chunks from the last to the first."""
    size = log.stat().st_size
    for start in range((size - 1) // BLOCK * BLOCK, -1, -BLOCK):
        yield from reversed(list(split(raw(log, start, BLOCK), start)))

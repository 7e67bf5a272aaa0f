"""Reading an attempt's log: by offset, while it is still being written, with a torn tail or without.

The format stands in `shim/frames.py`, how a long log is divided into files in `shim/segments.py`. An offset handed
out here is always the start of a frame (or of the zeros before one) and may be kept and used again, by this process
or another. Where it points to what is no longer kept, the first chunk says so: its stream is `GAP`, it has no data,
and it reaches from that offset to the oldest one that is kept.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from relay.core.tails import MAX_PIECES, MAX_TAIL_BYTES, Piece, Tail
from relay.core.values import frozen
from relay.spawn.shim import segments
from relay.spawn.shim.frames import BLOCK, GAP, HEAD, MAGIC, padding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_READ = 4 * BLOCK
SAME_MOMENT_MS = 1_000


@frozen
class Chunk:
    """One piece of output, or the word that some is no longer kept.

    Attributes:
        offset: where its frame begins in the log, bytes.
        next_offset: where to read on.
        stream: 0 for stdout, 1 for stderr, 2 for a gap.
        at_ms: when the shim read it, ms since the epoch.
        data: what the task wrote; cut anywhere, also within a character.
    """

    offset: int
    next_offset: int
    stream: int
    at_ms: int
    data: bytes

    @property
    def missing(self) -> int:
        """How many bytes of the log are no longer kept here; 0 but for a gap."""
        return self.next_offset - self.offset if self.stream == GAP else 0


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

    A single frame needs up to 64 KiB, which is the least sensible `limit`. Empty at the end, and in a gap.
    """
    found = _bytes_at(str(log), offset, limit)
    end = offset
    for chunk in split(found, offset):
        end = chunk.next_offset
    return found[: end - offset]


def _bytes_at(log: str, offset: int, limit: int) -> bytes:
    """What one file has from an offset on, the padding before it included."""
    gap = padding(offset)
    at = offset + gap
    found, size = _read_file(log, at, limit - gap)
    if not found and segments.may_go_on(size):
        found = _from_segment(log, at, limit - gap)
    return bytes(gap) + found if found else b""


def _from_segment(log: str, at: int, limit: int) -> bytes:
    start = max((start for start in segments.starts(log) if start <= at), default=0)
    if not start:
        return b""
    try:
        return _read_file(segments.name(log, start), at - start, limit)[0]
    except FileNotFoundError:
        # It went since it was listed: the caller finds the gap.
        return b""


def _read_file(path: str, at: int, limit: int) -> tuple[bytes, int]:
    """Bytes of a file, and how long it is (0 where there was something to read: nobody asks)."""
    fd = os.open(path, os.O_RDONLY)
    try:
        found = os.pread(fd, limit, at)
        return found, 0 if found else os.fstat(fd).st_size
    finally:
        os.close(fd)


def _gap_at(log: str, offset: int) -> Chunk | None:
    """The gap that begins at this offset; None where there is something to read, or nothing more."""
    at = offset + padding(offset)
    size = os.stat(log).st_size
    if at < size or not segments.may_go_on(size):
        return None
    starts = segments.starts(log)
    later = next((start for start in starts if start > at), None)
    # What is still being written may have been torn when it was read, and have a successor by now.
    before = max((start for start in starts if start <= at), default=None)
    if later is None or (before is not None and _covers(log, before, at)):
        return None
    return Chunk(offset, later, GAP, _time_at(log, later), b"")


def _time_at(log: str, start: int) -> int:
    """When the first frame of a segment was written; 0 where it is gone again."""
    try:
        head, _ = _read_file(segments.name(log, start), 0, HEAD.size)
    except FileNotFoundError:
        return 0
    return int(HEAD.unpack(head)[3]) if len(head) == HEAD.size else 0


def _covers(log: str, start: int, at: int) -> bool:
    try:
        return at < start + os.stat(segments.name(log, start)).st_size
    except FileNotFoundError:
        return False


def _some(log: Path, offset: int, limit: int) -> list[Chunk]:
    """The next whole chunks, or the gap; none at the end."""
    found = list(split(raw(log, offset, limit), offset))
    if not found and (gap := _gap_at(str(log), offset)) is not None:
        return [gap]
    return found


def chunks(log: Path, offset: int = 0, limit: int | None = None) -> Iterator[Chunk]:
    """The chunks from `offset` on, as long as they end within `limit` bytes of the log; all without a limit.

    A gap counts for nothing: the limit begins anew behind it.
    """
    stop = None if limit is None else offset + limit
    while found := _some(log, offset, _READ):
        for chunk in found:
            if stop is not None:
                stop += chunk.missing
                if chunk.next_offset > stop:
                    return
            yield chunk
        offset = found[-1].next_offset


def end(log: Path) -> int:
    """The offset behind the last byte that was written; its last frame may still be on its way."""
    head = os.stat(log).st_size
    if not segments.may_go_on(head):
        return head
    for start in reversed(segments.starts(str(log))):
        try:
            return start + os.stat(segments.name(str(log), start)).st_size
        except FileNotFoundError:
            continue
    return head


def tail(log: Path, limit: int) -> bytes:
    """The last `limit` bytes that the task wrote, both streams in the order they came; nothing from before a gap."""
    pieces: list[bytes] = []
    for chunk in backwards(log):
        pieces.append(chunk.data)
        limit -= len(chunk.data)
        if limit <= 0 or chunk.missing:
            break
    whole = b"".join(reversed(pieces))
    return whole[-limit:] if limit < 0 else whole


def tail_text(log: Path, limit: int) -> str:
    """The last `limit` bytes as text; what is no UTF-8, or was cut at the front, shows as U+FFFD."""
    return tail(log, limit).decode("utf-8", "replace")


def ending(log: Path, attempt: int, now: int, most: int = MAX_TAIL_BYTES) -> Tail:
    """The end of a log as its origin gets it: both streams, each byte as it was; nothing from before a gap.

    Args:
        log: which.
        attempt: whose it is.
        now: milliseconds since 1970.
        most: bytes.
    """
    pieces: list[Piece] = []
    left = most
    for chunk in backwards(log):
        if chunk.missing or not left:
            break
        data = chunk.data[-left:]
        left -= len(data)
        # where only its end is taken, it counts as beginning there, so that what is missing is counted right
        piece = Piece(chunk.next_offset - len(data), chunk.next_offset, chunk.stream, chunk.at_ms, data)
        whole = len(data) == len(chunk.data)
        piece = replace(piece, offset=chunk.offset) if whole else piece
        if pieces and _is_one(piece, pieces[-1]):
            pieces[-1] = replace(piece, next_offset=pieces[-1].next_offset, data=piece.data + pieces[-1].data)
        elif len(pieces) < MAX_PIECES:
            pieces.append(piece)
        else:
            break
    return Tail(attempt, now, tuple(reversed(pieces)))


def written_before(log: Path, offset: int) -> int:
    """How many bytes of output are kept before an offset; the log has bytes of its own besides, for each piece."""
    head, rest = blocks(log)
    return sum(_written(log, start, offset) for start in (*head, *rest) if start < offset)


def _written(log: Path, start: int, stop: int) -> int:
    found = split(raw(log, start, BLOCK), start)
    return sum(min(len(each.data), max(0, stop - each.next_offset + len(each.data))) for each in found)


def _is_one(before: Piece, after: Piece) -> bool:
    """Whether two pieces may be told as one: the time of the first stands for both."""
    return before.stream == after.stream and after.at - before.at < SAME_MOMENT_MS


def backwards(log: Path) -> Iterator[Chunk]:
    """The chunks from the last to the first, with a gap among them where there is one."""
    head, rest = blocks(log)
    yield from _backwards(log, rest)
    if rest and rest.start > len(head) * BLOCK:
        yield Chunk(os.stat(log).st_size, rest.start, GAP, _time_at(str(log), rest.start), b"")
    yield from _backwards(log, head)


def blocks(log: Path) -> tuple[range, range]:
    """Where the blocks that are kept begin: those of the head, and those behind the gap, or behind the head."""
    last, size = end(log), os.stat(log).st_size
    head = range(0, size, BLOCK)
    behind = len(head) * BLOCK
    oldest = min(segments.starts(str(log)), default=behind) if last > behind else behind
    return head, range(oldest, last, BLOCK)


def _backwards(log: Path, starts: range) -> Iterator[Chunk]:
    for start in reversed(starts):
        yield from reversed(list(split(raw(log, start, BLOCK), start)))

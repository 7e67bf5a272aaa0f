"""The log's format: frames of output in blocks, so that any offset can be found without an index.

A frame is `magic, stream, length, ms since the epoch` (12 bytes, little-endian) and its data. No frame
crosses a multiple of `BLOCK`, and each block begins with a frame: a reader starts at any block, and what a task
prints is never taken for a frame. Where less than a header and one byte are left in a block, zeros fill it.
"""

from __future__ import annotations

import struct

OUT = 0
ERR = 1
GAP = 2
"""No frame has it: readers say by it that what stood between two offsets is no longer kept."""
BLOCK = 65536
HEAD = struct.Struct("<BBHQ")
MAGIC = 0xA7


def padding(offset: int) -> int:
    """How many zeros stand at `offset` because no frame fits in the rest of its block."""
    left = BLOCK - offset % BLOCK
    return left if left <= HEAD.size else 0


def room(offset: int) -> int:
    """How many bytes of data the next frame at `offset` can have."""
    return BLOCK - (offset + padding(offset)) % BLOCK - HEAD.size


def pack(offset: int, stream: int, at_ms: int, data: bytes) -> list[bytes]:
    """The pieces that write `data` at `offset` of the log, in order."""
    pieces: list[bytes] = []
    view = memoryview(data)
    while view:
        gap = padding(offset)
        part = bytes(view[: room(offset)])
        pieces += [bytes(gap), HEAD.pack(MAGIC, stream, len(part), at_ms), part]
        offset += gap + HEAD.size + len(part)
        view = view[len(part) :]
    return pieces

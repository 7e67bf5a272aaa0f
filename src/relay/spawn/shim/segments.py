"""Where a log's bytes stand: a head that is kept for good, and segments of which the oldest go when it grows too long.

    log             the head: offsets from 0 to its length
    log.67108864    a segment, named by the offset at which it begins; the last one grows

Offsets count what was written, kept or not, so that they never turn back. Head and segments are whole blocks (see
`frames.py`): each begins with a frame. Only the writer knows their lengths; a reader goes by names and sizes, so that
either may be of another version.
"""

from __future__ import annotations

import os

from .frames import BLOCK, HEAD

_HEAD_PART = 4
"""One byte in four is the head's: how a task began explains what became of it."""
_SEGMENTS = 12
_DIGITS = 15
"""Of the name of a segment: what a task puts beside its log and has another name is none."""
LEAST = 4 * BLOCK
"""The shortest limit: a head and three segments."""


class Layout:
    """How a limit is divided.

    Attributes:
        head: bytes of the head.
        segment: bytes of a segment.
        most: how many segments are kept, with the one that grows.
    """

    __slots__ = ("head", "most", "segment")

    def __init__(self, limit: int) -> None:
        limit = max(limit, LEAST)
        self.head = limit // _HEAD_PART // BLOCK * BLOCK
        self.segment = max(BLOCK, (limit - self.head) // _SEGMENTS // BLOCK * BLOCK)
        self.most = (limit - self.head) // self.segment

    def end_of(self, start: int) -> int:
        """Where the segment that begins at `start` ends."""
        return start + self.segment


def name(log: str, start: int) -> str:
    """The file that begins at this offset."""
    return f"{log}.{start}" if start else log


def starts(log: str) -> list[int]:
    """Where the segments that are there begin, in order; the head is not among them."""
    folder, prefix = os.path.split(f"{log}.")
    tails = (entry[len(prefix) :] for entry in os.listdir(folder) if entry.startswith(prefix))
    found = (int(tail) for tail in tails if tail.isascii() and tail.isdigit() and len(tail) <= _DIGITS)
    return sorted(start for start in found if start % BLOCK == 0)


def may_go_on(size: int) -> bool:
    """Whether a file of this length may be followed by a segment: it ends with a block, but for padding."""
    return size > 0 and -size % BLOCK <= HEAD.size

"""Places in what a spawn has written, over all its attempts.

Each attempt has a log of its own, whose offsets begin at 0. A place is such an offset with the attempt in front of it:
one number that says where a reader stands, greater in a later attempt. In the first attempt it is the offset itself.
The places of 8,192 attempts are below 2**53, as readers of JSON want it.
"""

from __future__ import annotations

SPAN = 1 << 40
"""More than any log is long: 1 TiB."""


def start_of(attempt: int) -> int:
    """Where an attempt's log begins; before the first one, where that will.

    Args:
        attempt: from 1; 0 where there was none yet.
    """
    return max(attempt - 1, 0) * SPAN


def attempt_of(place: int) -> int:
    """Whose log a place lies in, from 1."""
    return place // SPAN + 1


def offset_of(place: int) -> int:
    """The offset in that log, bytes."""
    return place % SPAN

"""Hours of a grant: spans of the week in this machine's local time, and how often something may begin.

    mon-fri 08:00-18:30        fri-mon 22:00-06:00 (over midnight, over the week's end)        08:00-20:00 (every day)
    20/1h                      twenty starts in any hour
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from relay.core.values import frozen

DAY = 24 * 60
WEEK = 7 * DAY
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MAX_RATE = 10_000
LONGEST_PERIOD_S = 7 * 86_400
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SPAN = re.compile(r"(?:([a-z]{3})(?:-([a-z]{3}))? )?([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2})\Z")
_RATE = re.compile(r"([0-9]{1,5})/([0-9]{1,6})([smhd])\Z")


@frozen
class Rate:
    """At most `most` starts in any `seconds`; its text is `text`."""

    most: int
    seconds: int
    text: str


def rate_from_text(text: str) -> Rate:
    """The rate in `20/1h`.

    Raises:
        ValueError: it is none, or out of bounds.
    """
    match = _RATE.match(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is no rate: write a number, / and a time, as in 20/1h")
    most, seconds = int(match[1]), int(match[2]) * _SECONDS[match[3]]
    if not 0 < most <= MAX_RATE or not 0 < seconds <= LONGEST_PERIOD_S:
        raise ValueError(f"a rate goes from 1 to {MAX_RATE}, its time up to 7d")
    return Rate(most, seconds, text)


def spans_of(text: str) -> list[tuple[int, int]]:
    """The minutes of the week, from Monday 00:00, in a span: (first, length) for each of its days.

    Raises:
        ValueError: it is no span.
    """
    match = _SPAN.match(text)
    if match is None or not {match[1], match[2]} <= {*DAYS, None}:
        raise ValueError(f"{text[:40]!r} is no span of hours: write 08:00-18:00 or mon-fri 08:00-18:00")
    start, end = _minute(match[3], match[4]), _minute(match[5], match[6])
    length = (end - start) % DAY or DAY
    return [(day * DAY + start, length) for day in _days(match[1], match[2])]


def _minute(hours: str, minutes: str) -> int:
    minute = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or minute > DAY:
        raise ValueError(f"{hours}:{minutes} is no time of day")
    return minute


def _days(first: str | None, last: str | None) -> list[int]:
    if first is None:
        return [*range(7)]
    start = DAYS.index(first)
    count = (DAYS.index(last or first) - start) % 7 + 1
    return [(start + more) % 7 for more in range(count)]


def minutes_until_open(hours: Sequence[str], minute: int) -> int:
    """How many minutes until one of these spans holds; 0 while one does, or where there are none.

    Args:
        hours: spans, as `spans_of` reads them.
        minute: of the week, local time, from Monday 00:00.
    """
    spans = [span for text in hours for span in spans_of(text)]
    if not spans or any((minute - first) % WEEK < length for first, length in spans):
        return 0
    return min((first - minute) % WEEK for first, _ in spans)

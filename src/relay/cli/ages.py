"""How long ago something was, for tables."""

from __future__ import annotations

import time

from relay.api.durations import moment, spoken

NEAR_S = 300 * 86_400  # in which a date needs no year


def since(text: str | None) -> str:
    """`3 min` since an RFC 3339 time; empty for none."""
    return spoken(time.time() - moment(text)) if text else ""


def between(start: str | None, end: str | None) -> str:
    """How long something took or has taken; empty where it has not begun."""
    if not start:
        return ""
    return spoken((moment(end) if end else time.time()) - moment(start))


def clock(text: str) -> str:
    """The local time of day of an RFC 3339 time."""
    return time.strftime("%H:%M:%S", time.localtime(moment(text)))


def day_clock(text: str) -> str:
    """The local time of day of an RFC 3339 time, to the minute, with the date where that is not today's."""
    at, today = time.localtime(moment(text)), time.localtime()
    same_day = at[:3] == today[:3]
    return time.strftime("%H:%M" if same_day else "%Y-%m-%d %H:%M", at)


def when(text: str) -> str:
    """As `day_clock`, to the second."""
    at, today = time.localtime(moment(text)), time.localtime()
    return time.strftime("%H:%M:%S" if at[:3] == today[:3] else "%Y-%m-%d %H:%M:%S", at)


def short_when(text: str) -> str:
    """A moment in at most 12 letters, for narrow tables: `02:30:00` today, else `Dec 01 02:30`, or the date alone."""
    then = moment(text)
    at, today = time.localtime(then), time.localtime()
    if at[:3] == today[:3]:
        return time.strftime("%H:%M:%S", at)
    return time.strftime("%b %d %H:%M" if abs(then - time.time()) < NEAR_S else "%Y-%m-%d", at)


def ahead(text: str) -> str:
    """`10 min` until an RFC 3339 time."""
    return spoken(moment(text) - time.time())

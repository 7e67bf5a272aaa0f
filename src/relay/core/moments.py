"""How moments and pauses read, for people and in documents."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo


def clock(ms: int, now: int, zone: tzinfo = UTC) -> str:
    """A moment for people: the time of day, with the date where that is not today's.

    Args:
        ms: the moment; `now`: milliseconds since 1970.
        zone: whose clock.
    """
    at, today = datetime.fromtimestamp(ms / 1000, zone), datetime.fromtimestamp(now / 1000, zone)
    time = f"{at:%H:%M}" if not at.second else f"{at:%H:%M:%S}"
    name = at.tzname() or ""
    day = "" if at.date() == today.date() else f"{at:%Y-%m-%d} "
    return f"{day}{time} {name}".strip()


def pause(ms: int) -> str:
    """A time to come, for people: `40 s`, `5 min`, `3 h`, `2 d`."""
    seconds = max(0, -(-ms // 1000))
    for unit, size, limit in (("s", 1, 100), ("min", 60, 5_400), ("h", 3_600, 129_600)):
        if seconds < limit:
            return f"{-(-seconds // size)} {unit}"
    return f"{seconds // 86_400} d"


def rfc3339(ms: int) -> str:
    """The text of a moment (milliseconds since 1970): RFC 3339 in UTC with milliseconds."""
    return f"{datetime.fromtimestamp(ms // 1000, UTC).isoformat()[:19]}.{ms % 1000:03d}Z"

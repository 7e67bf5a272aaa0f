"""Moments as people type them: a time of day, a duration from now, or RFC 3339."""

from __future__ import annotations

import datetime
import re
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.core.errors import Misuse

_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?\Z")
_DURATION = re.compile(r"\+?(([0-9]+(?:\.[0-9]+)?[smhd])+)\Z")


def moment(text: str, now: float | None = None) -> int:
    """Milliseconds since 1970 of `22:00` (today or tomorrow, by this machine's clock), `2h` or an RFC 3339 time.

    Args:
        text: as typed.
        now: seconds since 1970; this moment where it is None.

    Raises:
        Misuse: `bad_time`.
    """
    at = time.time() if now is None else now
    if found := _DURATION.match(text):
        from relay.api.durations import parse

        return int((at + parse(found[1])) * 1000)
    if found := _CLOCK.match(text):
        return _next_at(int(found[1]), int(found[2]), int(found[3] or 0), at)
    try:
        then = datetime.datetime.fromisoformat(text)
        # without an offset it is this machine's time, as a person means it
        return int(then.timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise _unusable(text) from None


def past(text: str) -> int:
    """Milliseconds since 1970 of `10m` (ago) or an RFC 3339 time.

    Raises:
        Misuse: `bad_duration`.
    """
    from relay.api import durations
    from relay.core.errors import Misuse

    if "T" in text or "-" in text:
        try:
            return int(durations.moment(text) * 1000)
        except ValueError:
            pass
    try:
        return int((time.time() - durations.parse(text)) * 1000)
    except Misuse as fault:
        raise Misuse(
            f"{text[:40]!r} is no time that has been",
            code=fault.code,
            why="it is a duration up to now such as 10m or 1h30m, or RFC 3339 such as 2027-01-31T22:00:00Z",
            hint="--since 10m",
        ) from None


def _next_at(hour: int, minute: int, second: int, now: float) -> int:
    today = datetime.datetime.fromtimestamp(now).replace(hour=hour, minute=minute, second=second, microsecond=0)
    # by the calendar, not by 24 hours: a day may have 23 or 25
    then = today if today.timestamp() > now else today + datetime.timedelta(days=1)
    return int(then.timestamp() * 1000)


def _unusable(text: str) -> Misuse:
    from relay.core.errors import Code, Misuse

    return Misuse(
        f"{text[:40]!r} is no time",
        code=Code.BAD_TIME,
        why="a time is 22:00, a duration from now such as 2h, or RFC 3339 such as 2027-01-31T22:00:00+01:00",
        hint="--at 22:00",
    )

"""Moments as people type them: a time of day, a duration from now, or RFC 3339."""

from __future__ import annotations

import datetime
import re
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.core.errors import Misuse

_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?\Z")
NOW = "now"  # no moment: what is to wait for none
GRACE_MS = 60_000  # what has just passed was typed to the minute, or computed, and means now
FORMS = "a time is 22:00, a duration from now such as 2h, or RFC 3339 such as 2027-01-31T22:00:00+01:00"
FARTHEST_MS = 100 * 366 * 86_400_000
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
    then = _read(text, at)
    if then - at * 1000 > FARTHEST_MS:
        raise _unusable(text, "it is more than 100 years ahead")
    return then


def has_passed(then: int, now: float | None = None) -> bool:
    """Whether a moment (milliseconds since 1970) is one that nobody can have meant to come; `now` as for `moment`."""
    return then < (time.time() if now is None else now) * 1000 - GRACE_MS


def passed(text: str, then: int) -> Misuse:
    """The error for a moment to come that has passed: to start at once would be what nobody asked for."""
    from relay.core.errors import Code, Misuse

    return Misuse(
        f"{text[:40]} has passed",
        code=Code.BAD_TIME,
        why=f"it is {time.strftime('%Y-%m-%d %H:%M:%S %Z')} here, and nothing was asked for",
        hint=f"--at {NOW}   or, for the next time of day, --at {time.strftime('%H:%M', time.localtime(then / 1000))}",
    )


def _read(text: str, at: float) -> int:
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
        raise _unusable(text, FORMS) from None


def past(text: str) -> int:
    """Milliseconds since 1970 of `10m` (ago) or an RFC 3339 time; 0 of what was before that.

    Raises:
        Misuse: `bad_duration`.
    """
    from relay.api import durations
    from relay.core.errors import Misuse

    if "T" in text or "-" in text:
        try:
            then = int(durations.moment(text) * 1000)
        except ValueError:
            pass
        else:
            return max(_been(text, then), 0)
    try:
        return max(int((time.time() - durations.parse(text)) * 1000), 0)
    except Misuse as fault:
        raise Misuse(
            f"{text[:40]!r} is no time that has been",
            code=fault.code,
            why="it is a duration up to now such as 10m or 1h30m, or RFC 3339 such as 2027-01-31T22:00:00Z",
            hint="--since 10m",
        ) from None


def _been(text: str, then: int) -> int:
    if then <= time.time() * 1000 + GRACE_MS:
        return then
    from relay.core.errors import Code, Misuse

    raise Misuse(
        f"{text[:40]!r} is no time that has been",
        code=Code.BAD_DURATION,
        why=f"it is {time.strftime('%Y-%m-%d %H:%M:%S %Z')} here",
        hint="--since 10m   or, in UTC, with a Z at its end",
    )


def _next_at(hour: int, minute: int, second: int, now: float) -> int:
    day = datetime.datetime.fromtimestamp(now)
    today = day.replace(hour=hour, minute=minute, second=second, microsecond=0, fold=0)
    again = today.replace(fold=1)  # where that hour comes twice, else no later
    tomorrow = today + datetime.timedelta(days=1)  # by the calendar, not by 24 hours: a day may have 23 or 25
    then = next((each for each in (today, again) if each.timestamp() > now), tomorrow)
    return int(then.timestamp() * 1000)


def _unusable(text: str, why: str) -> Misuse:
    from relay.core.errors import Code, Misuse

    return Misuse(
        f"{text[:40]!r} is no time",
        code=Code.BAD_TIME,
        why=why,
        hint="--at 22:00",
    )

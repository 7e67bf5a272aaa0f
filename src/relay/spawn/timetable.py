"""When something runs again: every so long, or by five cron fields in this machine's own time.

    6h                 every six hours, counted from when it was asked for, or from --at
    30 2 * * 1-5       at 02:30 from Monday to Friday; minute, hour, day of month, month, day of week

A change of the clocks: what has its hour runs once that day, as much later where the hour is left out, and the first
time where it comes twice. What runs in every hour, or in every so many, runs in both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from cronsim import CronSim, CronSimError

from relay.core.errors import Code, Misuse

SHORTEST_MS, LONGEST_MS = 1_000, 366 * 86_400_000
MOST_LETTERS = 200
_TRIES = 200  # times of day that a change of the clocks brings again
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?[smhd])+\Z")
_PART = re.compile(r"([0-9.]+)([smhd])")
_MS_IN = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def next_after(every: str, anchor: int, after: int) -> int:
    """The first due time after a moment, milliseconds since 1970.

    Args:
        every: a duration, or five cron fields.
        anchor: what a duration is counted from.
        after: the moment.

    Raises:
        Misuse: `bad_time`: it is neither, or never comes.
    """
    if len(every) > MOST_LETTERS:
        raise _unusable(every, "it is too long")
    if _DURATION.match(every):
        period = _period(every)
        return anchor + max(0, (after - anchor) // period + 1) * period
    if len(every.split()) != 5:
        raise _unusable(every, "it is a duration such as 6h, or five cron fields such as '30 2 * * *'")
    return _cron(every, after)


def first_from(every: str, created: int, not_before: int | None, now: int) -> int:
    """The first due time of a schedule, which may have passed while its machine was away. Milliseconds since 1970.

    Args:
        every: as for `next_after`.
        created: what a duration is counted from where no moment was asked for.
        not_before: the moment of `--at`: a duration begins with it, cron fields with their next time.
        now: this moment.

    Raises:
        Misuse: as `next_after`.
    """
    if not_before is None:
        return next_after(every, created, now)
    return next_after(every, not_before, not_before - 1)


def on_the_wall(now: int, until: int) -> int:
    """The moment at which the clock on the wall shows what it would in so long, were clocks not changed meanwhile.

    Args:
        now: milliseconds since 1970.
        until: so many of its hours later, as if it ran through.
    """
    return _ms(datetime.fromtimestamp(now / 1000) + timedelta(milliseconds=until - now))


def _period(every: str) -> int:
    period = int(sum(float(number) * _MS_IN[unit] for number, unit in _PART.findall(every)))
    if not SHORTEST_MS <= period <= LONGEST_MS:
        raise _unusable(every, "a period lies between 1s and 366d")
    return period


def _cron(every: str, after: int) -> int:
    try:
        found = [moment for moment in _moments(every, after) if moment > after]
    except (CronSimError, ValueError, OverflowError) as fault:
        raise _unusable(every, str(fault)) from None
    if not found:
        raise _unusable(every, "there is no such day")
    return min(found)


def _moments(every: str, after: int) -> Iterator[int]:
    """The due times around a moment, up to the first that certainly is behind the next one."""
    is_hourly = every.split()[1].startswith("*")
    # without a zone: cronsim counts the calendar, and this machine's rules say when that is; what it has an hour
    # earlier may come later by them
    start = datetime.fromtimestamp(after / 1000) - timedelta(hours=1)
    for _, at in zip(range(_TRIES), CronSim(every, start), strict=False):
        yield (first := _ms(at))
        second = _ms(at.replace(fold=1))  # the same where that hour comes once, earlier where it is left out
        if is_hourly and second > first:
            yield second
        if first > after and second >= first:  # what such an hour puts off is overtaken by what is behind it
            return


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _unusable(every: str, why: str) -> Misuse:
    hint = "--every 6h   or   --every '30 2 * * *'"
    return Misuse(f"{every[:60]!r} is nothing to repeat by", code=Code.BAD_TIME, why=why, hint=hint)

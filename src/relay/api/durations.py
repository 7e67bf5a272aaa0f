"""Durations and moments as people type and read them."""

from __future__ import annotations

import datetime
import re

from relay.core.moments import rfc3339

__all__ = ["SECONDS_IN", "moment", "parse", "rfc3339", "rounded", "spoken", "typed"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.core.errors import Misuse

SECONDS_IN = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_PART = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhd])")


def parse(text: str) -> float:
    """Seconds in `90s`, `30m`, `2h`, `1d` or a sum of them like `1h30m`.

    Raises:
        Misuse: it is none of these, or it is zero.
    """
    parts = _PART.findall(text)
    seconds = float(sum(float(number) * SECONDS_IN[unit] for number, unit in parts))
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise _unusable(f"{text[:40]!r} is no duration", "a duration is a number and a unit: s, m, h or d")
    if not seconds:
        raise _unusable(f"{text[:40]!r} is no time at all", "it has to be more than 0")
    return seconds


def _unusable(message: str, why: str) -> Misuse:
    from relay.core.errors import Code, Misuse  # only here: every table of the command imports this module

    return Misuse(
        message,
        code=Code.BAD_DURATION,
        why=why,
        hint="write 90s, 30m, 2h or 1d",
    )


def spoken(seconds: float) -> str:
    """A duration for people, rounded: `0.8 s`, `42 s`, `3 min`, `5 h`, `12 d`."""
    if seconds < 9.95:  # beyond, it would read 10.0
        return f"{max(seconds, 0):.1f} s"
    for unit, size, most in (("s", 1, 119), ("min", 60, 119), ("h", 3600, 47)):  # a unit begins at two of it
        amount = rounded(seconds / size)
        if amount <= most:
            return f"{amount} {unit}"
    return f"{rounded(seconds / 86_400)} d"


def rounded(amount: float) -> int:
    """The nearest whole number, a half going up: what people expect of an age."""
    return int(amount + 0.5)


def typed(seconds: float) -> str:
    """A duration as a person would type it: `90s`, `30m`, `2h`, `30d`."""
    for unit, size in reversed(SECONDS_IN.items()):
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    return f"{seconds:g}s"


def moment(text: str) -> float:
    """Seconds since 1970 of an RFC 3339 time."""
    return datetime.datetime.fromisoformat(text).timestamp()

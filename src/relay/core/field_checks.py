"""What one field of a value that crosses a link may be: predicates, and makers of predicates."""

from __future__ import annotations

from collections.abc import Callable

MAX_MOMENT = 253_402_300_799_999
"""The last millisecond of the year 9999: later ones no calendar can show."""
MAX_TIMEOUT_S = 30 * 86_400
Check = Callable[[object], bool]


def optional(check: Check) -> Check:
    """Whether it is None, or passes a check."""
    return lambda value: value is None or check(value)


def is_count(value: object) -> bool:
    """Whether it is a whole number that every reader of JSON keeps exact, 0 or more."""
    return type(value) is int and 0 <= value < 2**53


def is_moment(value: object) -> bool:
    """Whether it is milliseconds since 1970 that a calendar can show."""
    return type(value) is int and 0 <= value <= MAX_MOMENT


def is_seconds(value: object) -> bool:
    """Whether it is a length of time for a timeout, in seconds."""
    return type(value) in (int, float) and 0 < value <= MAX_TIMEOUT_S  # type: ignore[operator]

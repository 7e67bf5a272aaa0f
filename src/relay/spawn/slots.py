"""What the slots of an attempt's record may say: a task is of this user, and can write what reads whole and is none.

What is not sound counts as absent, but for a promise that something was started, which stays one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from relay.core.field_checks import is_count, is_moment, optional
from relay.spawn.shim import record

_Checks = dict[str, Callable[[object], bool]]


def _is_text(value: object) -> bool:
    return type(value) is str


def _is_flag(value: object) -> bool:
    return type(value) is bool


def _is_error(value: object) -> bool:
    return type(value) is dict and value.keys() == _ERROR.keys() and all(_ERROR[key](value[key]) for key in _ERROR)


_ERROR: _Checks = {"kind": _is_text, "errno": optional(is_count), "text": _is_text}
_NOTHING: _Checks = {}
_NEEDED: dict[int, _Checks] = {
    record.INTENT: {"shim": is_count, "ticks": is_count, "boot": _is_text, "protocol": is_count, "at": is_moment},
    record.TASK: {"pid": is_count, "ticks": is_count},
    record.STARTED: {"pid": is_count, "ticks": is_count, "at": is_moment},
    record.EXIT: {
        "exit_code": optional(lambda value: is_count(value) and value < 256),  # type: ignore[operator]
        "signal": optional(lambda value: is_count(value) and 0 < value < 128),  # type: ignore[operator]
        "timed_out": _is_flag,
        "stopped": _is_flag,
        "started_at": optional(is_moment),
        "ended_at": is_moment,
        "error": optional(_is_error),
    },
}
_ALLOWED: dict[int, _Checks] = {
    record.STARTED: {"not_awake": _is_text},
    record.EXIT: {
        **dict.fromkeys(("survivors", "maxrss_kib", "cpu_ms", "log_bytes", "log_dropped", "log_lost"), is_count),
        "log_written": optional(is_count),
        "log_error": optional(_is_text),
        "oom": _is_flag,
        "not_awake": _is_text,
    },
}


def sound(number: int, fields: dict[str, Any] | None) -> dict[str, Any] | None:
    """The fields of the slot of this number; None where they are not what its writer writes, or absent."""
    if fields is None:
        return None
    for name, check in _NEEDED.get(number, _NOTHING).items():
        if name not in fields or not check(fields[name]):
            return None
    for name, check in _ALLOWED.get(number, _NOTHING).items():
        if name in fields and not check(fields[name]):
            return None
    return fields


def sound_in(page: bytes, number: int) -> dict[str, Any] | None:
    """As `sound`, of a record's page."""
    return sound(number, record.decode(page[number * record.SLOT_BYTES : (number + 1) * record.SLOT_BYTES]))


def read(fd: int) -> list[dict[str, Any] | None]:
    """All slots that are sound, in the order of their numbers."""
    return [sound(number, fields) for number, fields in enumerate(record.read_slots(fd))]

"""JSON that strangers send: how deep, how many parts, and of what; and its one compact form."""

from __future__ import annotations

import json
import math
from typing import Any

MAX_DEPTH = 64
MAX_PARTS = 1_000_000
LARGEST = 2**63


def packed(value: Any) -> bytes:
    """The compact JSON of a value that `fault_of` found nothing wrong with."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def read(data: bytes | str, most: int) -> Any:
    """The JSON value in these bytes.

    Args:
        data: what came.
        most: the most bytes of it.

    Raises:
        ValueError: why it is none, in words.
    """
    if len(data) > most:
        raise ValueError(f"it has more than {most} bytes")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("it is no JSON") from None
    if (fault := fault_of(value)) is not None:
        raise ValueError(fault)
    return value


def fault_of(value: Any, depth: int = MAX_DEPTH, parts: int = MAX_PARTS) -> str | None:
    """What is wrong with a decoded JSON value, in words; None for nothing.

    Args:
        value: as `json.loads` made it.
        depth: how deep objects and lists may lie in each other.
        parts: how many values it may have, all told.
    """
    level, seen = [value], 0
    while level:
        if depth < 0:
            return "it is nested too deep"
        seen += len(level)
        if seen > parts:
            return f"it has more than {parts} parts"
        if (odd := next(filter(None, map(_oddness, level)), None)) is not None:
            return odd
        level = [part for each in level for part in _parts(each)]
        depth -= 1
    return None


def _parts(value: Any) -> list[Any]:
    if type(value) is dict:
        return list(value.values())
    return value if type(value) is list else []


def _oddness(value: Any) -> str | None:
    if value is None or type(value) is bool or type(value) is list:
        return None
    if type(value) is str:
        return None if _is_text(value) else "it has a text that is no Unicode"
    if type(value) is dict:
        return None if all(type(key) is str and _is_text(key) for key in value) else "it has a key that is no Unicode"
    if type(value) is int:
        return None if -LARGEST <= value < LARGEST else "it has a whole number beyond 64 bits"
    if type(value) is float:
        return None if math.isfinite(value) else "it has a number that JSON cannot spell"
    return "it has a value that JSON cannot spell"


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

"""Strict msgpack: what Relay packs, and the only form it takes in.

Refused: trailing bytes, ext types and timestamps, duplicate or non-text keys, nesting deeper than 16,
anything longer than the caller's bound.
"""

from __future__ import annotations

from typing import Any

import msgpack

from relay.core.errors import Code, PeerFault

MAX_DEPTH = 16


def pack(value: Any) -> bytes:
    """The msgpack form of plain values (None, bool, int, float, str, bytes, list, tuple, dict with text keys)."""
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    return packed


def _fault(why: str) -> PeerFault:
    return PeerFault("a message could not be decoded", code=Code.BAD_ENVELOPE, why=why)


def _unique(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("duplicate key")
    return mapping


def _refuse_ext(code: int, data: bytes) -> Any:
    raise ValueError("ext type")


def _check_shape(value: Any, left: int) -> None:
    kind = type(value)
    if kind is dict or kind is list:
        if left == 0:
            raise _fault("nested too deep")
        for item in value.values() if kind is dict else value:
            _check_shape(item, left - 1)
    elif kind is msgpack.Timestamp:
        raise _fault("timestamp")


def unpack(data: bytes, limit: int) -> Any:
    """One strict msgpack value.

    Args:
        data: the whole of it; not a byte more.
        limit: the longest `data` allowed, in bytes.

    Raises:
        PeerFault: it is too long, or not in the strict form.
    """
    if len(data) > limit:
        raise _fault(f"longer than {limit} bytes")
    try:
        value = msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=False,
            object_pairs_hook=_checked_keys,
            ext_hook=_refuse_ext,
            timestamp=0,
            max_bin_len=limit,
            max_str_len=limit,
            max_array_len=limit,
            max_map_len=limit,
        )
    except PeerFault:
        raise
    except Exception as error:  # msgpack raises a family of its own plus ValueError, UnicodeDecodeError, RecursionError
        raise _fault(f"it is no msgpack that ends where it should ({type(error).__name__})") from None
    _check_shape(value, MAX_DEPTH)
    return value


def _checked_keys(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    for key, _ in pairs:
        if type(key) is not str:
            raise ValueError("a key that is not text")
    return _unique(pairs)

"""Strict msgpack: what Relay packs, and the only form it takes in.

Refused: trailing bytes, ext types and timestamps, duplicate or non-text keys, nesting deeper than 16,
anything longer than the caller's bound.
"""

from __future__ import annotations

from typing import Any

import msgpack

from relay.core.errors import Code, PeerFault

MAX_DEPTH = 16
_LOOKED_AT = frozenset({dict, list, msgpack.Timestamp})


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
    """Look into a list or a mapping; only what may hold more, or may not be at all, costs a call of its own."""
    if left == 0:
        raise _fault("nested too deep")
    for item in value.values() if type(value) is dict else value:
        if type(item) in _LOOKED_AT:
            _check_item(item, left - 1)


def _check_item(value: Any, left: int) -> None:
    if type(value) is msgpack.Timestamp:
        raise _fault("timestamp")
    _check_shape(value, left)


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
    if type(value) in _LOOKED_AT:
        _check_item(value, MAX_DEPTH)
    return value


def _checked_keys(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    mapping = _unique(pairs)
    for key in mapping:
        if type(key) is not str:
            raise ValueError("a key that is not text")
    return mapping

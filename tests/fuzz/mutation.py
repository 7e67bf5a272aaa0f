"""Seeded mutation of bytes: plain, fast, and the same cases again for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import msgpack

# Length bytes, type bytes of msgpack and text that is no UTF-8: where decoders go wrong.
_TOKENS = (
    b"\x00", b"\xff", b"\x7f", b"\x80", b"\xc0", b"\xc1", b"\xc4\xff", b"\xc5\xff\xff", b"\xc6\xff\xff\xff\xff",
    b"\xc7\x00\x01", b"\xd4\x01\x00", b"\xd6\xff\x00\x00\x00\x00", b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
    b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00",
    b"\xdc\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xde\xff\xff", b"\xdf\xff\xff\xff\xff", b"\x91" * 40, b"\x81\xa1a" * 20,
    b"\xa3\xed\xa0\x80", b"\xd9\xff", b"\xdb\xff\xff\xff\xff",
)  # fmt: skip
_ODD_VALUES: tuple[object, ...] = (
    None, True, False, 0, 1, -1, 2**53, 2**63 - 1, -(2**63), 2**64 - 1, 0.0, -0.0, 1e308, float("nan"), float("inf"),
    "", "\0", "a" * 300, "\u202e", b"", b"\0", b"a" * 33, [], {}, [[]], {"a": {}}, [None] * 20, {"": ""},
    msgpack.ExtType(1, b"x"), msgpack.Timestamp(0), {1: 2}, "completed", "queued", ["running"], {"state": 1},
)  # fmt: skip

Mutation = Callable[[random.Random, bytes], bytes]


def _flip(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def _cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def _remove(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.randint(1, 8) :]


def _insert(rng: random.Random, data: bytes) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + rng.choice(_TOKENS) + data[at:]


def _overwrite(rng: random.Random, data: bytes) -> bytes:
    at, token = rng.randrange(len(data)), rng.choice(_TOKENS)
    return data[:at] + token + data[at + len(token) :]


def _repeat(rng: random.Random, data: bytes) -> bytes:
    start = rng.randrange(len(data))
    piece = data[start : start + rng.randint(1, 64)]
    return data[:start] + piece * rng.randint(2, 5) + data[start:]


def _append(rng: random.Random, data: bytes) -> bytes:
    return data + rng.randbytes(rng.randint(1, 16))


def _noise(rng: random.Random, data: bytes) -> bytes:
    return rng.randbytes(rng.randint(0, 200))


_BYTE_LEVEL: tuple[Mutation, ...] = (_flip, _flip, _cut, _remove, _insert, _overwrite, _repeat, _append, _noise)


def _swapped(rng: random.Random, value: object, depth: int) -> object:
    """The value with one of its parts, at some depth, replaced by an odd one."""
    if depth and isinstance(value, list) and value:
        at = rng.randrange(len(value))
        return [*value[:at], _swapped(rng, value[at], depth - 1), *value[at + 1 :]]
    if depth and isinstance(value, dict) and value:
        return _changed_map(rng, value, depth)
    return rng.choice(_ODD_VALUES)


def _changed_map(rng: random.Random, value: dict[object, object], depth: int) -> object:
    key = rng.choice(list(value))
    rest = {name: item for name, item in value.items() if name != key}
    how = rng.randrange(6)
    if how == 0:
        return rest
    if how == 1:
        return rest | {"extra": value[key]}
    return rest | {key: _swapped(rng, value[key], depth - 1)}


def _reshape(rng: random.Random, data: bytes) -> bytes:
    """A well-formed message with a part of another type: what bit flips rarely make."""
    try:
        value = msgpack.unpackb(data, raw=False, strict_map_key=False)
    except Exception:  # the specimen was no msgpack
        return _flip(rng, data)
    packed: bytes = msgpack.packb(_swapped(rng, value, rng.randint(1, 4)), use_bin_type=True)
    return packed


def mutants(specimen: bytes, seed: int) -> Iterator[bytes]:
    """Endlessly many variants of a specimen, each different from it.

    Args:
        specimen: valid bytes, at least one.
        seed: the same seed gives the same variants.
    """
    rng = random.Random(seed)
    while True:
        data = _reshape(rng, specimen) if rng.random() < 0.4 else specimen
        for _ in range(rng.choice((0, 1, 1, 1, 2, 4)) if data is not specimen else rng.choice((1, 1, 1, 2, 4))):
            data = rng.choice(_BYTE_LEVEL)(rng, data or b"\0")
        if data != specimen:
            yield data

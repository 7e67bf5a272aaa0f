"""The strict decoder: what msgpack would take in and Relay does not."""

import struct
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.errors import Code, PeerFault
from relay.core.wire import MAX_DEPTH, pack, unpack

LIMIT = 4096
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | TEXT
    | st.binary(max_size=20)
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=20
)


def refused(data: bytes, limit: int = LIMIT) -> str:
    with pytest.raises(PeerFault) as caught:
        unpack(data, limit)
    assert caught.value.code is Code.BAD_ENVELOPE
    return caught.value.why


@settings(deadline=None)
@given(VALUES)
def test_what_is_packed_is_read(value: Any) -> None:
    data = pack(value)
    if len(data) <= LIMIT:
        assert unpack(data, LIMIT) == value


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200))
def test_only_a_peer_fault_escapes(data: bytes) -> None:
    try:
        unpack(data, LIMIT)
    except PeerFault:
        pass


@settings(deadline=None)
@given(VALUES, st.binary(min_size=1, max_size=5))
def test_trailing_bytes(value: Any, more: bytes) -> None:
    refused(pack(value) + more, 100_000)


@settings(deadline=None)
@given(VALUES)
def test_a_cut_value(value: Any) -> None:
    refused(pack(value)[:-1], 100_000)


@pytest.mark.parametrize(
    "data",
    [
        msgpack.packb(msgpack.ExtType(5, b"x")),
        msgpack.packb([msgpack.ExtType(5, b"x")]),
        msgpack.packb(msgpack.Timestamp(1)),
        msgpack.packb({"at": msgpack.Timestamp(1, 2)}),
        b"\xd6\xff" + struct.pack(">I", 1),
        b"\xc7\x0c\xff" + struct.pack(">IQ", 1, 1),
        b"\xc1",
        b"",
    ],
)
def test_ext_types_timestamps_and_nothing(data: bytes) -> None:
    refused(data)


def test_duplicate_keys() -> None:
    assert unpack(b"\x82\xa1a\x01\xa1b\x02", LIMIT) == {"a": 1, "b": 2}
    refused(b"\x82\xa1a\x01\xa1a\x02")
    refused(b"\x91\x82\xa1a\x01\xa1a\x01")


@pytest.mark.parametrize("key", [b"\x01", b"\xc0", b"\xc4\x01a", b"\x90", b"\xc3", b"\xca\x00\x00\x00\x00"])
def test_keys_that_are_not_text(key: bytes) -> None:
    refused(b"\x81" + key + b"\x01")


def test_text_that_is_not_utf_8() -> None:
    refused(b"\xa1\xff")
    refused(b"\xa3\xed\xa0\x80")  # a surrogate, encoded


@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"a": inner}])
def test_depth(wrap: Any) -> None:
    value: Any = 1
    for _ in range(MAX_DEPTH):
        value = wrap(value)
    assert unpack(pack(value), LIMIT) == value
    assert refused(pack(wrap(value))) == "nested too deep"


def test_very_deep() -> None:
    refused(b"\x91" * 4000)
    refused(b"\x81\xa1a" * 1300)


def test_the_bound_counts_the_bytes_themselves() -> None:
    data = pack(bytes(100))
    assert unpack(data, len(data)) == bytes(100)
    assert "longer than" in refused(data, len(data) - 1)


@pytest.mark.parametrize(
    "data",
    [
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x05",
    ],
)
def test_lengths_that_promise_too_much_cost_nothing(data: bytes) -> None:
    refused(data)

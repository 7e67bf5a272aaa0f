"""The form of an envelope. That the bytes stay what they are, tests/trust/test_vectors.py says."""

import dataclasses
import hashlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core import ids
from relay.core.envelope import (
    MAX_BODY,
    MAX_ENVELOPE,
    MAX_HEADER,
    SEAL_OVERHEAD,
    Body,
    Envelope,
    Header,
    authenticated,
    pack_body,
    pack_envelope,
    pack_header,
    signing_input,
    unpack_body,
    unpack_envelope,
    unpack_header,
)
from relay.core.errors import Code, PeerFault
from relay.core.wire import pack, unpack

ONE, TWO = (ids.broker_id(bytes([byte]) * 32) for byte in (1, 2))
HEADER = Header("spawn", b"i" * 16, ONE, TWO, b"k" * 8, 3, 1_800_000_000_000, 1_800_000_600_000)
BODY = Body("operation-1", {"spawn": "x", "n": 1}, ("n",))
PARTS: list[Any] = unpack(pack_header(HEADER), MAX_HEADER)
COUNTS = st.integers(0, 2**53)
HEADERS = st.builds(
    Header,
    st.text("abc.", min_size=1, max_size=32),
    st.binary(min_size=16, max_size=16),
    st.sampled_from([ONE, TWO]),
    st.sampled_from([ONE, TWO]),
    st.binary(min_size=8, max_size=8),
    COUNTS,
    COUNTS,
    COUNTS,
)


def enveloped(header: Header = HEADER, sealed: bytes = bytes(SEAL_OVERHEAD + 1), signature: bytes = bytes(64)) -> bytes:
    return pack_envelope(pack_header(header), sealed, signature)


def refused(data: bytes) -> None:
    with pytest.raises(PeerFault) as caught:
        unpack_envelope(data)
    assert caught.value.code is Code.BAD_ENVELOPE


@settings(deadline=None)
@given(HEADERS)
def test_a_header_is_read_as_it_was_packed(header: Header) -> None:
    packed = pack_header(header)
    assert len(packed) <= MAX_HEADER and unpack_header(packed) == header


def test_an_envelope_keeps_the_received_bytes() -> None:
    raw = enveloped()
    envelope = unpack_envelope(raw)
    assert (envelope.raw, envelope.header, envelope.header_bytes) == (raw, HEADER, pack_header(HEADER))
    assert envelope.digest == hashlib.sha256(raw).digest()


def changed(at: int, value: object) -> bytes:
    return pack([value if index == at else part for index, part in enumerate(PARTS)])


@pytest.mark.parametrize(
    ("at", "value"),
    [
        *((0, value) for value in (2, 0, True, "1", None)),
        *((1, value) for value in ("", "x" * 33, b"spawn", 5)),
        *((2, value) for value in (b"", b"i" * 15, b"i" * 17, "i" * 16)),
        *((at, value) for at in (3, 4) for value in (b"", bytes(31), bytes(33), ONE)),
        *((5, value) for value in (b"", bytes(7), bytes(9), None)),
        *((at, value) for at in (6, 7, 8) for value in (-1, 2**53 + 1, 1.0, True, None, "1")),
    ],
)
def test_a_wrong_part_of_the_header(at: int, value: object) -> None:
    with pytest.raises(PeerFault):
        unpack_header(changed(at, value))


@pytest.mark.parametrize("parts", [None, {}, PARTS[:-1], [*PARTS, 0]])
def test_a_header_of_another_shape(parts: object) -> None:
    with pytest.raises(PeerFault):
        unpack_header(pack(parts))


def test_a_header_has_one_encoding() -> None:
    longer = pack_header(HEADER).replace(b"\x03\xcf", b"\xcc\x03\xcf")
    assert unpack(longer, MAX_HEADER) == PARTS
    with pytest.raises(PeerFault, match="refused") as caught:
        unpack_header(longer)
    assert "canonical" in caught.value.why


@pytest.mark.parametrize(
    "parts",
    [
        None,
        [1, b"", b""],
        [1, b"", b"", b"", b""],
        [2, pack_header(HEADER), bytes(60), bytes(64)],
        [True, pack_header(HEADER), bytes(60), bytes(64)],
        [1, PARTS, bytes(60), bytes(64)],
        [1, pack_header(HEADER), "sealed" * 20, bytes(64)],
        [1, pack_header(HEADER), bytes(60), bytes(63)],
        [1, pack_header(HEADER), bytes(60), "s" * 64],
        [1, pack_header(HEADER), bytes(SEAL_OVERHEAD), bytes(64)],
        [1, pack_header(HEADER), bytes(MAX_BODY + SEAL_OVERHEAD + 1), bytes(64)],
        [1, bytes(MAX_HEADER + 1), bytes(60), bytes(64)],
    ],
)
def test_an_envelope_of_another_form(parts: object) -> None:
    refused(pack(parts))


def test_lengths() -> None:
    raw = enveloped(sealed=bytes(MAX_BODY + SEAL_OVERHEAD))
    assert len(raw) <= MAX_ENVELOPE and unpack_envelope(raw).raw == raw
    refused(bytes(MAX_ENVELOPE + 1))
    refused(raw + b"\0")


# the body


def sealed_in(header: Header = HEADER) -> Envelope:
    return unpack_envelope(enveloped(header))


def test_a_body_is_read_as_it_was_packed() -> None:
    assert unpack_body(sealed_in(), pack_body(HEADER, pack_header(HEADER), BODY)) == BODY


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(HEADER, id=b"j" * 16),
        dataclasses.replace(HEADER, origin=TWO),
        dataclasses.replace(HEADER, recipient=ONE),
        dataclasses.replace(HEADER, expires=HEADER.expires + 1),
    ],
)
def test_a_body_belongs_to_one_header(other: Header) -> None:
    with pytest.raises(PeerFault, match="refused"):
        unpack_body(sealed_in(other), pack_body(HEADER, pack_header(HEADER), BODY))


CONTENT: dict[str, Any] = unpack(pack_body(HEADER, pack_header(HEADER), BODY), MAX_BODY)


@pytest.mark.parametrize("key", sorted(CONTENT))
@pytest.mark.parametrize("value", [None, 5, "", b"", [5], {"a": 1}])
def test_a_wrong_field_of_the_body(key: str, value: object) -> None:
    if (key, value) != ("content", {"a": 1}):
        with pytest.raises(PeerFault):
            unpack_body(sealed_in(), pack(CONTENT | {key: value}))


def test_a_body_without_a_field() -> None:
    for key in CONTENT:
        with pytest.raises(PeerFault):
            unpack_body(sealed_in(), pack({name: value for name, value in CONTENT.items() if name != key}))


def test_a_later_versions_key_is_ignored() -> None:
    assert unpack_body(sealed_in(), pack(CONTENT | {"colour": 1})) == BODY


def test_a_body_is_bounded() -> None:
    with pytest.raises(PeerFault, match="refused"):
        pack_body(HEADER, pack_header(HEADER), Body("o", {"text": "x" * MAX_BODY}))


# what is signed


@settings(deadline=None)
@given(st.binary(max_size=20), st.lists(st.binary(max_size=8), max_size=4), st.lists(st.binary(max_size=8), max_size=4))
def test_different_parts_are_never_signed_alike(domain: bytes, one: list[bytes], other: list[bytes]) -> None:
    assert (authenticated(domain, *one) == authenticated(domain, *other)) == (one == other)


def test_the_boundary_between_parts_is_signed() -> None:
    assert signing_input(b"ab", b"c") != signing_input(b"a", b"bc")
    assert authenticated(b"a", b"b") != authenticated(b"ab", b"")


RAW = enveloped()


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(RAW) - 1), st.integers(1, 255), st.binary(max_size=3))
def test_only_a_peer_fault_escapes(at: int, change: int, more: bytes) -> None:
    bent = bytearray(RAW)
    bent[at] ^= change
    try:
        unpack_envelope(bytes(bent) + more)
    except PeerFault:
        pass

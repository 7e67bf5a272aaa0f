"""The tree over a blob: its shape, its addresses, and what is refused of it."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core import blobs
from relay.core.blobs import CHUNK, FANOUT, MAX_NODE, MAX_SIZE, Place, Shape
from relay.core.envelope import authenticated
from relay.core.errors import Code, PeerFault
from relay.core.wire import pack

SMALL = st.builds(Shape, st.integers(0, 2_000), st.integers(1, 5), st.integers(2, 5))


@given(SMALL)
def test_the_walk_takes_a_node_before_what_is_under_it(shape: Shape) -> None:
    places = [shape.place(item) for item in range(shape.total)]
    assert len(set(places)) == shape.total == sum(shape.counts)
    assert [shape.item(place) for place in places] == list(range(shape.total))
    assert all(map(shape.has, places))
    for item, place in enumerate(places[1:], 1):
        assert shape.item(shape.parent(place)) < item


@given(SMALL)
def test_the_chunks_come_in_order_and_cover_the_file(shape: Shape) -> None:
    passed = 0
    for item in range(shape.total):
        place = shape.place(item)
        assert shape.bytes_before(item) == passed
        if place.level:
            children = [Place(place.level - 1, place.at * shape.fanout + n) for n in range(shape.children(place))]
            assert shape.span(place) == sum(map(shape.span, children))
        else:
            passed += shape.span(place)
    assert passed == shape.size == shape.bytes_before(shape.total)


@pytest.mark.parametrize(
    ("size", "counts"),
    [
        (0, (0, 1)),
        (1, (1, 1)),
        (CHUNK * FANOUT, (FANOUT, 1)),
        (CHUNK * FANOUT + 1, (FANOUT + 1, 2, 1)),
        (2**30, (8_192, 4, 1)),
        (2**40, (2**23, 4_096, 2, 1)),
    ],
)
def test_shapes(size: int, counts: tuple[int, ...]) -> None:
    assert Shape(size).counts == counts


def test_no_node_is_longer_than_a_chunk() -> None:
    shape = Shape(MAX_SIZE)
    for level in range(1, shape.root.level + 1):
        place = Place(level, 0)
        assert len(blobs.pack_node(shape, place, bytes(32 * shape.children(place)))) <= MAX_NODE < CHUNK


def test_addresses_hold_for_ever() -> None:
    """As docs/protocol.md gives them: what another program computes must be the same."""
    assert blobs.chunk_hash(b"abc") == hashlib.sha256(authenticated(b"relay-blob-chunk/1", b"abc")).digest()
    node = blobs.pack_node(Shape(3), Place(1, 0), blobs.chunk_hash(b"abc"))
    assert node == pack([1, 1, 3, blobs.chunk_hash(b"abc")])
    assert blobs.node_hash(node) == hashlib.sha256(authenticated(b"relay-blob/1", node)).digest()
    assert blobs.node_hash(node).hex() == "2ff58d0eb2dd4b257c9bf21807eacbb2e1f565043f96ede250ea1fb038e68e00"


def _check(shape: Shape, place: Place, node: bytes) -> bytes:
    return blobs.check_node(shape, place, blobs.node_hash(node), node)


def test_a_node_is_checked_by_its_hash_and_its_form() -> None:
    shape, place = Shape(CHUNK + 1), Place(1, 0)
    hashes = bytes(32) + b"\1" * 32
    good = blobs.pack_node(shape, place, hashes)
    assert _check(shape, place, good) == hashes
    for bad in (
        pack([1, 1, CHUNK + 2, hashes]),
        pack([1, 2, CHUNK + 1, hashes]),
        pack([2, 1, CHUNK + 1, hashes]),
        pack([1, 1, CHUNK + 1, hashes[:-1]]),
        pack([1, 1, CHUNK + 1, hashes + bytes(32)]),
        pack([1, 1, CHUNK + 1, "text"]),
        pack([1, 1, CHUNK + 1]),
        pack({"a": 1}),
        b"\xc1",
        b"",
    ):
        with pytest.raises(PeerFault):
            _check(shape, place, bad)
    for foreign in (good + b"x", b"x" * (MAX_NODE + 1), None, 7, [good]):
        with pytest.raises(PeerFault) as caught:
            blobs.check_node(shape, place, blobs.node_hash(good), foreign)
        assert caught.value.code is Code.BAD_BLOB


def test_a_chunk_is_checked_by_its_hash() -> None:
    assert blobs.check_chunk(blobs.chunk_hash(b"x"), b"x") == b"x"
    for bad in (b"y", b"", "x", None, b"x" * (CHUNK + 1)):
        with pytest.raises(PeerFault):
            blobs.check_chunk(blobs.chunk_hash(b"x"), bad)


def test_a_chunk_s_hash_is_not_a_node_s() -> None:
    node = blobs.pack_node(Shape(0), Place(1, 0), b"")
    assert blobs.chunk_hash(node) != blobs.node_hash(node)


@pytest.mark.parametrize(
    "name", ["a", "backup.tar", "..a", ".hidden", "ein Bild von Grün.png", "x" * 200, "-rf", "C:", "~"]
)
def test_names(name: str) -> None:
    assert blobs.is_blob_name(name)


@pytest.mark.parametrize(
    "name",
    ["", " ", ".", "..", "a/b", "/etc/passwd", "..\\x", "a\nb", "a\0", "\x1b[2J", "x" * 201, "ü" * 101, "\udcff", 7],
)
def test_what_is_no_name(name: object) -> None:
    assert not blobs.is_blob_name(name)


def test_sizes_and_addresses_from_elsewhere() -> None:
    assert blobs.is_size(0) and blobs.is_size(MAX_SIZE)
    assert not any(map(blobs.is_size, (-1, MAX_SIZE + 1, True, 1.0, "1", None)))
    assert blobs.is_address(bytes(32))
    assert not any(map(blobs.is_address, (bytes(31), bytes(33), "a" * 32, None)))

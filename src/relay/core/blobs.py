"""Blobs: how a file is cut, hashed and addressed; the form of its manifest.

    file       ─ cut into chunks of 128 KiB, the last one shorter
    level 0    ─ the chunks
    level 1    ─ nodes of the manifest: each lists the hashes of up to 2,048 chunks
    level 2, … ─ nodes over nodes, until one is left: the root; its hash is the blob's address

So no piece of it is longer than a chunk, however long the file, and each is checked against a hash that was
checked before. The shape follows from the size alone. *Items* are the nodes and chunks in the order of a walk
that takes a node before what is under it; docs/protocol.md gives the bytes.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Any, NamedTuple

from relay.core.envelope import authenticated
from relay.core.errors import Code, PeerFault
from relay.core.wire import pack, unpack

CHUNK = 128 * 1024
FANOUT = 2_048
HASH_BYTES = 32
MAX_SIZE = 2**50
MAX_NODE = FANOUT * HASH_BYTES + 64
MAX_NAME_BYTES = 200
_VERSION = 1
_NODE_DOMAIN = b"relay-blob/1"
_CHUNK_DOMAIN = b"relay-blob-chunk/1"


class Place(NamedTuple):
    """Where an item stands: its level (0 for a chunk) and its number there."""

    level: int
    at: int


class Shape:
    """The tree over a file of some size.

    Args:
        size: bytes.
        chunk: bytes a chunk; `fanout`: children a node. Other values than the protocol's are for tests.

    Attributes:
        counts: how many items each level has, the chunks first, the one root last.
        total: how many items there are.
    """

    __slots__ = ("_under", "chunk", "counts", "fanout", "size", "total")

    def __init__(self, size: int, chunk: int = CHUNK, fanout: int = FANOUT) -> None:
        self.size, self.chunk, self.fanout = size, chunk, fanout
        counts = [-(-size // chunk)]
        while len(counts) == 1 or counts[-1] > 1:
            counts.append(max(1, -(-counts[-1] // fanout)))
        self.counts = tuple(counts)
        self.total = sum(counts)
        # items in the whole subtree of a full item of each level, itself included
        under = [1]
        for _ in counts[1:]:
            under.append(1 + fanout * under[-1])
        self._under = tuple(under)

    @property
    def root(self) -> Place:
        """Where the root stands."""
        return Place(len(self.counts) - 1, 0)

    def _unit(self, level: int) -> int:
        return self.chunk * int(self.fanout**level)

    def span(self, place: Place) -> int:
        """How many bytes of the file lie under an item."""
        unit = self._unit(place.level)
        return min(unit, self.size - place.at * unit)

    def children(self, place: Place) -> int:
        """How many items a node lists."""
        return min(self.fanout, self.counts[place.level - 1] - place.at * self.fanout)

    def parent(self, place: Place) -> Place:
        """The node that lists an item; the root has none."""
        return Place(place.level + 1, place.at // self.fanout)

    def has(self, place: Place) -> bool:
        """Whether there is such an item."""
        return 0 <= place.level < len(self.counts) and 0 <= place.at < self.counts[place.level]

    def place(self, item: int) -> Place:
        """Where the item with this number of the walk stands (0 is the root)."""
        level, index = self.root
        while item:
            level -= 1
            child, item = divmod(item - 1, self._under[level])
            index = index * self.fanout + child
        return Place(level, index)

    def item(self, place: Place) -> int:
        """The number of an item in the walk."""
        number, level, index = 0, place.level, place.at
        while level < self.root.level:
            number += 1 + (index % self.fanout) * self._under[level]
            level, index = level + 1, index // self.fanout
        return number

    def bytes_before(self, item: int) -> int:
        """How many bytes of the file lie in the chunks that come before an item of the walk."""
        if item >= self.total:
            return self.size
        place = self.place(item)
        return min(place.at * self._unit(place.level), self.size)


def chunk_hash(data: bytes) -> bytes:
    """The hash (32 bytes) of a chunk."""
    # as `authenticated` would have it, without a copy of the chunk
    made = hashlib.sha256(_CHUNK_HEAD)
    made.update(struct.pack("<Q", len(data)))
    made.update(data)
    return made.digest()


_CHUNK_HEAD = authenticated(_CHUNK_DOMAIN, b"")[:-8]


def node_hash(node: bytes) -> bytes:
    """The hash (32 bytes) of a manifest's node; the root's is the blob's address."""
    return hashlib.sha256(authenticated(_NODE_DOMAIN, node)).digest()


def pack_node(shape: Shape, place: Place, hashes: bytes) -> bytes:
    """A node's bytes.

    Args:
        shape: the tree it belongs to.
        place: where it stands there.
        hashes: of what it lists, 32 bytes each.
    """
    return pack([_VERSION, place.level, shape.span(place), hashes])


def _fault(why: str) -> PeerFault:
    return PeerFault("a piece of a blob was refused", code=Code.BAD_BLOB, why=why)


def check_chunk(expected: bytes, data: object) -> bytes:
    """The bytes of a chunk that has the expected hash.

    Raises:
        PeerFault: `bad_blob`.
    """
    if type(data) is not bytes or len(data) > CHUNK or chunk_hash(data) != expected:
        raise _fault("its bytes do not have the hash that they were asked for by")
    return data


def check_node(shape: Shape, place: Place, expected: bytes, data: object) -> bytes:
    """The hashes that a node lists, once its own hash and its form were checked.

    Args:
        shape: the tree by the size that was told.
        place: where the node stands.
        expected: its hash: the blob's address, or as its parent lists it.
        data: what came.

    Raises:
        PeerFault: `bad_blob`.
    """
    if type(data) is not bytes or len(data) > MAX_NODE or node_hash(data) != expected:
        raise _fault("its bytes do not have the hash that they were asked for by")
    parts: Any = unpack(data, MAX_NODE)
    if type(parts) is not list or len(parts) != 4 or type(parts[3]) is not bytes:
        raise _fault("a node of its manifest has another form")
    hashes: bytes = parts[3]
    if parts[:3] != [_VERSION, place.level, shape.span(place)]:
        raise _fault("its manifest is that of another size than was offered")
    if len(hashes) != shape.children(place) * HASH_BYTES:
        raise _fault("a node of its manifest lists another number of pieces")
    return hashes


def is_address(value: object) -> bool:
    """Whether this may be a blob's address as it stands on the wire."""
    return type(value) is bytes and len(value) == HASH_BYTES


def is_size(value: object) -> bool:
    """Whether this may be a blob's size."""
    return type(value) is int and 0 <= value <= MAX_SIZE


def is_blob_name(value: object) -> bool:
    """Whether this may name a blob: one line of 1 to 200 bytes, no slash. A label; never a path or a part of one."""
    if type(value) is not str or value in (".", "..") or not value.isprintable() or not value.strip():
        return False
    try:
        return len(value.encode()) <= MAX_NAME_BYTES and "/" not in value and "\\" not in value
    except UnicodeEncodeError:
        return False

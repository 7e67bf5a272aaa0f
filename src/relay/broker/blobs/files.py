"""Blobs on the disk: the bytes in `HEX.data`, the hashes of the tree in `HEX.tree`. Everything here blocks.

The tree's file holds the hashes level by level, the chunks' first. Nothing in either file is believed: a chunk is
read against its node's hash, a node against its parent's, the root against the address. So a crash at any moment
leaves pieces that are whole or count as missing. A file's name is made of the address alone.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path

from relay.broker.blobs import faults
from relay.core.blobs import (
    HASH_BYTES,
    Place,
    Shape,
    check_chunk,
    check_node,
    chunk_hash,
    node_hash,
    pack_node,
)
from relay.core.errors import Code, PeerFault, RelayError
from relay.core.pulling import AHEAD

NEW = ".new-"
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
CREATE = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


def paths(folder: Path, address: bytes) -> tuple[Path, Path]:
    """Where a blob's bytes and its tree are."""
    return folder / f"{address.hex()}.data", folder / f"{address.hex()}.tree"


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def prepare(folder: Path, known: Iterable[bytes]) -> None:
    """Make the folder, private, and delete what no row knows: left by a crash between file and row."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    names = {path.name for address in known for path in paths(folder, address)}
    for entry in os.scandir(folder):
        ours = entry.name.startswith(NEW) or entry.name.endswith((".data", ".tree"))
        if ours and entry.name not in names and not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.path)


def delete(folder: Path, address: bytes) -> None:
    """Delete a blob's files; who has them open reads on."""
    for path in paths(folder, address):
        path.unlink(missing_ok=True)


class BlobFile:
    """The two files of one blob, open. Used from several threads; each call is whole before the next.

    Args:
        data, tree: descriptors; closed by `close`.
        address: the root's hash.
        shape: the tree.
    """

    def __init__(self, data: int, tree: int, address: bytes, shape: Shape) -> None:
        self.address = address
        self.shape = shape
        self._data, self._tree = data, tree
        self._verified: dict[int, tuple[int, bytes]] = {}
        # a caller that was cancelled leaves its call running: it must not meet a descriptor that is another's by then
        self._lock = threading.Lock()
        self._closed = False

    @classmethod
    def open(cls, folder: Path, address: bytes, size: int, *, writable: bool = False) -> BlobFile:
        """Open a blob's files; with `writable` they are made where they are missing.

        Raises:
            LocalFault: `blob_damaged` where they are missing, or `store_fault`.
        """
        handles: list[int] = []
        try:
            for path in paths(folder, address):
                handles.append(os.open(path, CREATE if writable else _READ, 0o600))  # noqa: PERF401
        except OSError as fault:
            for handle in handles:
                os.close(handle)
            raise (faults.damaged(address) if isinstance(fault, FileNotFoundError) else
                   faults.of_system(fault, folder)) from None
        return cls(handles[0], handles[1], address, Shape(size))

    def close(self) -> None:
        """Close both files, once no call is under way."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._data)
                os.close(self._tree)

    # what a cancelled caller never got must not keep its descriptors
    __del__ = close

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("the blob's files are closed")

    # hashes

    def _offset(self, place: Place) -> int:
        return HASH_BYTES * (sum(self.shape.counts[: place.level]) + place.at)

    def _expected(self, place: Place) -> bytes:
        if place == self.shape.root:
            return self.address
        at = HASH_BYTES * (place.at % self.shape.fanout)
        return self._hashes(self.shape.parent(place))[at : at + HASH_BYTES]

    def _hashes(self, place: Place) -> bytes:
        """What a node lists, verified; one node of each level is remembered."""
        known = self._verified.get(place.level)
        if known is not None and known[0] == place.at:
            return known[1]
        expected = self._expected(place)
        below = Place(place.level - 1, place.at * self.shape.fanout)
        hashes = os.pread(self._tree, HASH_BYTES * self.shape.children(place), self._offset(below))
        if node_hash(pack_node(self.shape, place, hashes)) != expected:
            raise faults.damaged(self.address)
        self._verified[place.level] = place.at, hashes
        return hashes

    # items

    def read(self, place: Place) -> bytes:
        """An item's bytes, verified.

        Raises:
            LocalFault: `blob_damaged`: what is on the disk does not have its hash.
        """
        with self._lock:
            self._check_open()
            if place.level:
                return pack_node(self.shape, place, self._hashes(place))
            return self._chunk(place)

    def _chunk(self, place: Place) -> bytes:
        data = os.pread(self._data, self.shape.span(place), place.at * self.shape.chunk)
        if len(data) != self.shape.span(place) or chunk_hash(data) != self._expected(place):
            raise faults.damaged(self.address)
        return data

    def keep(self, place: Place, data: object) -> None:
        """Verify an item and write it; it is durable after the next `sync`.

        Raises:
            PeerFault: `bad_blob`: it is not what was asked for; nothing was written.
            LocalFault: `disk_full` or `store_fault`.
        """
        with self._lock:
            self._check_open()
            expected = self._expected(place)
            try:
                if place.level:
                    self._keep_node(place, check_node(self.shape, place, expected, data))
                else:
                    self._keep_chunk(place, check_chunk(expected, data))
            except OSError as fault:
                raise faults.of_system(fault, "the folder of blobs") from None

    def _keep_node(self, place: Place, hashes: bytes) -> None:
        write_all(self._tree, hashes, self._offset(Place(place.level - 1, place.at * self.shape.fanout)))
        self._verified[place.level] = place.at, hashes

    def _keep_chunk(self, place: Place, data: bytes) -> None:
        if len(data) != self.shape.span(place):
            raise PeerFault("a piece of a blob was refused", code=Code.BAD_BLOB, why="it has another length")
        write_all(self._data, data, place.at * self.shape.chunk)

    def sync(self) -> None:
        """Make durable what was written.

        Raises:
            LocalFault: `disk_full` or `store_fault`.
        """
        with self._lock:
            self._check_open()
            try:
                os.fdatasync(self._tree)
                os.fdatasync(self._data)
            except OSError as fault:
                raise faults.of_system(fault, "the folder of blobs") from None

    def found(self, done: int) -> list[int]:
        """The items behind the first `done` that are here whole: written, but not yet noted, when a broker ended."""
        here: list[int] = []
        with self._lock:
            self._check_open()
            end = os.fstat(self._data).st_size
            for item in range(done, min(self.shape.total, done + AHEAD)):
                place = self.shape.place(item)
                if place.level == 0 and place.at * self.shape.chunk >= end:
                    break
                if self._is_whole(place):
                    here.append(item)
                elif place.level:
                    break  # what is listed by a node that is missing cannot be judged
        return here

    def _is_whole(self, place: Place) -> bool:
        try:
            if place.level:
                self._hashes(place)
            else:
                self._chunk(place)
        except RelayError:
            return False
        return True


def write_all(handle: int, data: bytes, offset: int) -> None:
    """Write all of it at an offset."""
    view = memoryview(data)
    while view:
        written = os.pwrite(handle, view, offset)
        view, offset = view[written:], offset + written

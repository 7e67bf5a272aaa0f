"""Between a file of the person and the blobs' folder, a few chunks at a time. Everything here blocks."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from relay.broker.blobs import faults
from relay.broker.blobs.files import CREATE, NEW, BlobFile, paths, sync_folder, write_all
from relay.core.blobs import HASH_BYTES, MAX_SIZE, Place, Shape, chunk_hash, node_hash, pack_node
from relay.core.errors import Code, Misuse
from relay.core.values import frozen

STEP_CHUNKS = 16
# without blocking: a pipe must not hold up the broker until somebody writes to it
_SOURCE = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_TARGET = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class TakingIn:
    """A file of this machine being made a blob, a few chunks at a time.

    Args:
        folder: the blobs' folder.
        source: the file, an absolute path; opened once.
        token: a part of the temporary files' names.
        handle: the file, open for reading, where it was opened already; closed here, however this ends.

    Raises:
        Misuse: `bad_file`: it cannot be read, or is no regular file.
    """

    def __init__(self, folder: Path, source: str, token: str, handle: int | None = None) -> None:
        self._folder, self._source = folder, source
        self._new = tuple(folder / f"{NEW}{token}{suffix}" for suffix in (".data", ".tree"))
        self._handles: list[int] = []
        self.done = 0
        try:
            self._handles.append(os.open(source, _SOURCE) if handle is None else handle)
            self._before = os.fstat(self._handles[0])
        except OSError as fault:
            self.abandon()
            raise faults.no_source(fault, source) from None
        if not stat.S_ISREG(self._before.st_mode):
            self.abandon()
            raise faults.not_regular(source)
        if self._before.st_size > MAX_SIZE:
            self.abandon()
            raise Misuse(
                f"{source} is too big",
                code=Code.BAD_FILE,
                why=f"a blob has at most {MAX_SIZE} bytes",
                hint="send it in parts",
            )
        self.shape = Shape(self._before.st_size)

    def begin(self) -> None:
        """Make the temporary files.

        Raises:
            LocalFault: `disk_full` or `store_fault`.
        """
        faults.require_room(self._folder, self.shape.size)
        try:
            self._handles += [os.open(path, CREATE | os.O_EXCL, 0o600) for path in self._new]
        except OSError as fault:
            raise faults.of_system(fault, self._folder) from None

    def step(self) -> bool:
        """Read some chunks; whether there are more.

        Raises:
            LocalFault: `file_changed`, `disk_full` or `store_fault`.
        """
        source, data, tree = self._handles
        try:
            for _ in range(STEP_CHUNKS):
                if self.done >= self.shape.size:
                    return False
                wanted = min(self.shape.chunk, self.shape.size - self.done)
                piece = _read_all(source, wanted, self.done)
                if len(piece) != wanted:
                    raise faults.changed(self._source)
                write_all(data, piece, self.done)
                write_all(tree, chunk_hash(piece), HASH_BYTES * (self.done // self.shape.chunk))
                self.done += wanted
        except OSError as fault:
            raise faults.of_system(fault, self._folder) from None
        return self.done < self.shape.size

    def finish(self) -> bytes:
        """Check that the file stood still, build the tree, make all durable; the address.

        Raises:
            LocalFault: `file_changed`, `disk_full` or `store_fault`.
        """
        after = os.fstat(self._handles[0])
        if _stamp(after) != _stamp(self._before):
            raise faults.changed(self._source)
        try:
            address = self._build()
            for handle in self._handles[1:]:
                os.fdatasync(handle)
            return address
        except OSError as fault:
            raise faults.of_system(fault, self._folder) from None

    def _build(self) -> bytes:
        tree, shape = self._handles[2], self.shape
        below, made = 0, b""
        for level in range(1, len(shape.counts)):
            above = below + HASH_BYTES * shape.counts[level - 1]
            for index in range(shape.counts[level]):
                place = Place(level, index)
                at = below + HASH_BYTES * index * shape.fanout
                hashes = os.pread(tree, HASH_BYTES * shape.children(place), at)
                made = node_hash(pack_node(shape, place, hashes))
                if place != shape.root:
                    write_all(tree, made, above + HASH_BYTES * index)
            below = above
        return made

    def settle(self, address: bytes) -> None:
        """Give the files their names; the tree first, so that a blob with bytes has its hashes."""
        try:
            for new, path in reversed(list(zip(self._new, paths(self._folder, address), strict=True))):
                os.rename(new, path)
            sync_folder(self._folder)
        except OSError as fault:
            raise faults.of_system(fault, self._folder) from None

    def abandon(self) -> None:
        """Close everything, and delete what was not settled."""
        handles, self._handles = self._handles, []
        for handle in handles:
            os.close(handle)
        for path in self._new:
            path.unlink(missing_ok=True)

    __del__ = abandon


def _read_all(handle: int, size: int, offset: int) -> bytes:
    piece = os.pread(handle, size, offset)
    while len(piece) < size and (more := os.pread(handle, size - len(piece), offset + len(piece))):
        piece += more
    return piece


def _stamp(found: os.stat_result) -> tuple[int, ...]:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev


@frozen
class Spot:
    """Where a file is to be made.

    Attributes:
        folder: an open folder; closed by who writes.
        name: in that folder.
        mode: permission bits, as far as the umask lets them be.
        over: whether a file of that name is replaced.
        hint: what to try where it cannot be made there.
    """

    folder: int
    name: str
    mode: int = 0o666
    over: bool = False
    hint: str = faults.CHOOSE_FILE

    @classmethod
    def of(cls, target: str) -> Spot:
        """The place that an absolute path names."""
        folder, name = os.path.split(target.rstrip("/"))
        return cls(os.open(folder, FOLDER), name)


class WritingOut:
    """A blob being written to a file that a person chose, verified on the way, a few chunks at a time.

    Args:
        blob: open for reading.
        target: the file, an absolute path; it appears whole, and nothing is written over.
        token: a part of the temporary file's name.
        place: where it goes otherwise: into an open folder, `target` being for the words alone.

    Raises:
        Misuse: `bad_file`: it exists already, or cannot be made.
    """

    def __init__(self, blob: BlobFile, target: str, token: str, place: Spot | None = None) -> None:
        self._blob, self._target = blob, target
        self._new = f".relay-{token}"
        self._chunk = self.done = 0
        self._handle = self._folder = -1
        self._hint = faults.CHOOSE_FILE
        try:
            self._place = place or Spot.of(target)
            self._hint = self._place.hint
            self._folder = self._place.folder
            if not self._place.over and self._exists():
                raise faults.target_exists(target, self._hint)
            self._handle = os.open(self._new, _TARGET, self._place.mode, dir_fd=self._folder)
        except OSError as fault:
            self.close()
            raise faults.no_target(fault, target, self._hint) from None
        except Misuse:
            self.close()
            raise

    def _exists(self) -> bool:
        try:
            os.stat(self._place.name, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def step(self) -> bool:
        """Write some chunks; whether there are more.

        Raises:
            LocalFault: `blob_damaged` or `disk_full`.
        """
        shape = self._blob.shape
        for _ in range(STEP_CHUNKS):
            if self._chunk >= shape.counts[0]:
                return False
            data = self._blob.read(Place(0, self._chunk))
            try:
                write_all(self._handle, data, self.done)
            except OSError as fault:
                raise faults.no_target(fault, self._target, self._hint) from None
            self._chunk, self.done = self._chunk + 1, self.done + len(data)
        return self._chunk < shape.counts[0]

    def finish(self) -> None:
        """Make it durable and give it its name.

        Raises:
            Misuse: `bad_file`: another file has the name by now.
            LocalFault: `disk_full`.
        """
        try:
            os.fsync(self._handle)
            if self._place.over:
                # a link that stands there is replaced, not followed
                os.replace(self._new, self._place.name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            else:
                os.link(self._new, self._place.name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except FileExistsError:
            raise faults.target_exists(self._target, self._hint) from None
        except OSError as fault:
            self._rename(fault)

    def _rename(self, fault: OSError) -> None:
        """For file systems without hard links."""
        if fault.errno not in _NO_LINKS or self._place.over:
            raise faults.no_target(fault, self._target, self._hint) from None
        if self._exists():
            raise faults.target_exists(self._target, self._hint) from None
        try:
            os.rename(self._new, self._place.name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except OSError as again:
            raise faults.no_target(again, self._target, self._hint) from None

    def close(self) -> None:
        """Close it, and delete what has no name yet."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._new, dir_fd=self._folder)
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1

    __del__ = close

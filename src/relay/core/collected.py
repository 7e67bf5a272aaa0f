"""The files that a spawn's origin wanted back, as the target's signed word on its end lists them.

A list is believed as a whole or not at all: its names become names of files on the machine that asked.
"""

from __future__ import annotations

from typing import Any

from relay.core.blobs import HASH_BYTES
from relay.core.errors import Code, PeerFault
from relay.core.values import frozen

MAX_FILES = 256
MAX_LIST = 40 * 1024
"""Bytes of names and addresses: a snapshot has 128 KiB, of which output and summary may take half."""
MAX_BYTES = 1 << 30
"""Of all files of one spawn: what it may lay on its origin's disk without being asked again."""
MAX_PATH = 512
MODE_BITS = 0o777
KEY = "files"
WENT = "it went to "
"""How it begins why a file is not here, and will not be: whoever asked for it has it."""


@frozen
class CollectedFile:
    """One file.

    Attributes:
        path: relative to the spawn's directory, with `/` between names.
        size: bytes.
        mode: its permission bits.
        blob: the address of its bytes, in hexadecimal.
    """

    path: str
    size: int
    mode: int
    blob: str

    @property
    def address(self) -> bytes:
        """The blob's address."""
        return bytes.fromhex(self.blob)

    @property
    def weight(self) -> int:
        """About how many bytes it takes in a list."""
        return len(self.path.encode()) + 2 * HASH_BYTES + 48

    def to_content(self) -> dict[str, Any]:
        """Its form in a result."""
        return {"path": self.path, "size": self.size, "mode": self.mode, "blob": self.blob}


def is_path(value: object) -> bool:
    """Whether this may name a collected file: relative, printable, without `.` or `..`, at most 512 bytes."""
    if type(value) is not str or not value or not value.isprintable() or "\\" in value:
        return False
    try:
        fits = len(value.encode()) <= MAX_PATH
    except UnicodeEncodeError:
        return False
    return fits and not any(name in ("", ".", "..") for name in value.split("/"))


def collected_files(result: dict[str, Any] | None) -> list[CollectedFile]:
    """The files that a result lists; none where nothing was to be collected.

    Raises:
        PeerFault: the list has another form, names a file outside of the directory or one twice, or is too long.
    """
    listed = (result or {}).get(KEY)
    if listed is None:
        return []
    if type(listed) is not list or len(listed) > MAX_FILES:
        raise _refused(f"it is no list of at most {MAX_FILES} files")
    files = [_file(each) for each in listed]
    if sum(each.size for each in files) > MAX_BYTES:
        raise _refused(f"its files have more than {MAX_BYTES} bytes together")
    _require_apart([each.path for each in files])
    return files


def _file(value: object) -> CollectedFile:
    if type(value) is not dict or not is_path(value.get("path")):
        raise _refused("it names a file that may lie outside of its directory, or cannot be shown")
    size, mode, blob = value.get("size"), value.get("mode"), value.get("blob")
    if type(size) is not int or not 0 <= size <= MAX_BYTES or type(mode) is not int or not 0 <= mode <= MODE_BITS:
        raise _refused("a size or mode in it is none")
    if type(blob) is not str or len(blob) != 2 * HASH_BYTES or not set(blob) <= set("0123456789abcdef"):
        raise _refused("an address in it is none")
    return CollectedFile(value["path"], size, mode, blob)


def _require_apart(paths: list[str]) -> None:
    """No path twice, and none that is a folder of another."""
    known = set(paths)
    folders = {path[:at] for path in paths for at, letter in enumerate(path) if letter == "/"}
    if len(known) != len(paths) or known & folders:
        raise _refused("two of its files have one name")


def _refused(why: str) -> PeerFault:
    return PeerFault("a list of collected files was refused", code=Code.BAD_ENVELOPE, why=why)

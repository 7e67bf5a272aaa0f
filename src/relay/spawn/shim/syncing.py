"""Bringing all of a file system to its disk at once, where that waits for little that is not ours."""

from __future__ import annotations

import ctypes
import os

from .kernel import libc

_TELLS_SINCE = (5, 8)
"""The Linux since which syncfs(2) tells of what could not be written."""
_MOST_KIB = 32 * 1024
"""Unwritten memory of the whole machine, by which others' files would be waited for: a tenth of a second, or a few."""


def sync_file_system(fd: int) -> bool:
    """Bring all that was written to the file system of `fd` to its disk; False, and nothing is done, where it may not.

    Raises:
        OSError: some of it could not be written.
    """
    if libc is None or not tells(os.uname().release) or unwritten_kib() > _MOST_KIB:
        return False
    if libc.syncfs(fd) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return True


def tells(release: str) -> bool:
    """Whether a kernel of this release, as uname(2) words it, says what syncfs(2) could not write."""
    parts = (*release.split("-")[0].split("."), "0")[:2]
    return tuple(int(part) if part.isdecimal() else 0 for part in parts) >= _TELLS_SINCE


def unwritten_kib() -> int:
    """KiB that are in memory and not on a disk, of all programs; as much as can be where nobody tells."""
    try:
        with open("/proc/meminfo", "rb") as file:
            found = [line.split()[1] for line in file if line.startswith((b"Dirty:", b"Writeback:"))]
        return sum(map(int, found)) if found else _MOST_KIB + 1
    except (OSError, ValueError, IndexError):
        return _MOST_KIB + 1

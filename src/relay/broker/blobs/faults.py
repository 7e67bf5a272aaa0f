"""The faults of blobs in the words of the product."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from relay.core.errors import NO_ROOM, Code, LocalFault, Misuse, Refused, RelayError

SHORT_DIGITS = 12
CHOOSE_FILE, CHOOSE_FOLDER = "choose another FILE for -o", "choose another folder: --files DIR"
# what blobs leave free: the store and the reserve for results need room when they have none
LOW_WATER = 32 * 1024 * 1024


def short(address: bytes) -> str:
    """The first digits of an address: enough for people and for `relay blob get`."""
    return address.hex()[:SHORT_DIGITS]


def disk_full(place: Path | str) -> LocalFault:
    """There is no room for a blob; what is there already stays."""
    return LocalFault(
        "the disk is full",
        code=Code.DISK_FULL,
        why=f"{place} has no room for it, or less than {LOW_WATER // 2**20} MiB would be left",
        hint=f"free some space: df -h {place}; what was there already is not fetched again",
    )


def require_room(folder: Path, more: int) -> None:
    """Raise `disk_full` where so many more bytes would leave less than 32 MiB."""
    if shutil.disk_usage(folder).free < more + LOW_WATER:
        raise disk_full(folder)


def of_system(fault: OSError, place: Path | str) -> RelayError:
    """What an operating system's error means for a blob."""
    if fault.errno in NO_ROOM:
        return disk_full(place)
    return LocalFault(f"{place} cannot be used now", why=fault.strerror or str(fault), hint="relay doctor")


def damaged(address: bytes) -> LocalFault:
    """The files of a blob do not hold what they held."""
    return LocalFault(
        f"the blob {short(address)} is damaged on this disk",
        code=Code.BLOB_DAMAGED,
        why="a piece of it does not have its hash any more; nothing of it was passed on",
        hint=f"relay blob remove {short(address)}; then have it sent again",
    )


def unknown(ref: str) -> Misuse:
    """Nothing here is called that."""
    return Misuse(f"there is no blob {ref[:80]!r}", code=Code.UNKNOWN_BLOB, hint="relay blob list")


def over_quota(held: int, more: int, quota: int, where: str) -> Refused:
    """There would be more bytes of blobs than the setting allows.

    Args:
        held: bytes here.
        more: bytes asked for.
        quota: the setting.
        where: `on NAME: ` for another machine's owner, or empty.
    """
    need = -(-(held + more) // 2**30)
    return Refused(
        "the quota for blobs would be exceeded",
        code=Code.BLOB_QUOTA,
        why=f"{held} bytes are kept, {more} more are wanted, blob_quota is {quota}",
        hint=f"{where}relay config set blob_quota {need}GiB, or relay blob list and relay blob remove",
    )


def no_source(fault: OSError, path: str) -> RelayError:
    """The file that was to be sent cannot be opened."""
    if fault.errno in (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENXIO):
        why = fault.strerror or str(fault)
        return Misuse(f"{path} cannot be read", code=Code.BAD_FILE, why=why, hint=f"ls -l {os.path.dirname(path)}")
    return of_system(fault, path)


def not_regular(path: str) -> Misuse:
    """Only regular files have an end and stand still."""
    why = "only a regular file can be sent; a folder, a pipe or a device cannot"
    return Misuse(f"{path} is no regular file", code=Code.BAD_FILE, why=why, hint="tar czf FILE FOLDER packs a folder")


def changed(path: str) -> LocalFault:
    """The file was written to while it was read."""
    return LocalFault(
        f"{path} changed while it was read",
        code=Code.FILE_CHANGED,
        why="its size, its time or its place is another than when it was opened; nothing was sent",
        hint="wait until nobody writes to it and do it again, or send a copy",
    )


def target_exists(target: str, hint: str = CHOOSE_FILE) -> Misuse:
    """A file is never written over."""
    why = "a file that is there is never written over"
    return Misuse(f"{target} exists already", code=Code.BAD_FILE, why=why, hint=hint)


def no_target(fault: OSError, target: str, hint: str = CHOOSE_FILE) -> RelayError:
    """The file or folder cannot be made where it was wanted.

    Args:
        fault: what the system said.
        target: its path.
        hint: what was typed to name it, and can be typed otherwise.
    """
    if fault.errno in NO_ROOM:
        return disk_full(os.path.dirname(target))
    why = fault.strerror or str(fault)
    return Misuse(f"{target} cannot be written", code=Code.BAD_FILE, why=why, hint=hint)

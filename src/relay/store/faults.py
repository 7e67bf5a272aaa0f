"""SQLite's storage errors in the words of the product.

    sqlite3.Error
    ├── FULL; no room for more            LocalFault disk_full
    ├── CORRUPT, NOTADB                   LocalFault store_corrupt
    ├── IOERR, CANTOPEN, READONLY, BUSY … LocalFault store_fault
    └── the rest                          a defect of ours, raised as it is
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from pathlib import Path

from relay.core.errors import NO_ROOM, Code, LocalFault

BACKUPS = "backups"
_LOW_WATER = 64 * 1024  # bytes; SQLite reports a full disk as an I/O error where it could not grow its -shm file

UNWRITABLE = frozenset({Code.DISK_FULL, Code.STORE_FAULT})
"""The codes under which a store takes nothing now, and may again."""
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_PERHAPS_FULL = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
_TROUBLE = {
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOLFS,
}


def disk_full(path: Path) -> LocalFault:
    """The fault of a full disk.

    Args:
        path: the store's file.
    """
    return LocalFault(
        "the disk is full; nothing was recorded",
        code=Code.DISK_FULL,
        why=f"{path.parent} has no room for the store",
        hint=_free(path.parent),
    )


def corrupt(path: Path, why: str) -> LocalFault:
    """The fault of a damaged store; it is never replaced or repaired silently.

    Args:
        path: the store's file.
        why: what was found.
    """
    return LocalFault(
        f"the store {path} is damaged or is not a Relay store",
        code=Code.STORE_CORRUPT,
        why=why,
        hint=f"relay doctor; copies made before upgrades are in {path.parent / BACKUPS}",
    )


def trouble(path: Path, why: str) -> LocalFault:
    """The fault of a store that cannot be read or written now.

    Args:
        path: the store's file.
        why: what the system said.
    """
    return LocalFault(f"the store {path} cannot be used now", code=Code.STORE_FAULT, why=why, hint="relay doctor")


def closed(path: Path) -> LocalFault:
    """The fault of using a store after `close`."""
    return LocalFault(f"the store {path} is closed", why="the broker is stopping", hint="relay up")


def _free(folder: Path) -> str:
    if _is_low(folder):
        return f"free some space: df -h {folder}"
    return f"free some files, or more of a quota: df -i {folder}; quota"


def _is_low(folder: Path) -> bool:
    try:
        free = os.statvfs(folder)
    except OSError:
        return False
    return free.f_bavail * free.f_frsize < _LOW_WATER


def _no_room(path: Path) -> bool:
    return _is_low(path.parent) or _may_keep_no_more(path.parent)


def _may_keep_no_more(folder: Path) -> bool:
    # of a quota, and of a disk without inodes, SQLite says "I/O error" or "cannot open", and statvfs that there is room
    try:
        with tempfile.TemporaryFile(dir=folder) as trial:
            trial.write(bytes(_LOW_WATER))
    except OSError as fault:
        return fault.errno in NO_ROOM
    return False


def fault_of(error: sqlite3.Error, path: Path) -> LocalFault | None:
    """The fault this SQLite error means, or None where it is a defect of the SQL.

    Args:
        error: what SQLite raised.
        path: the store's file.
    """
    extended: int | None = getattr(error, "sqlite_errorcode", None)
    if extended is None:
        return None
    primary = extended & 0xFF
    if primary == sqlite3.SQLITE_FULL or (primary in _PERHAPS_FULL and _no_room(path)):
        return disk_full(path)
    if primary in _DAMAGE:
        return corrupt(path, str(error))
    return trouble(path, f"{error} ({error.sqlite_errorname})") if primary in _TROUBLE else None


def of_system(error: OSError, path: Path) -> LocalFault:
    """The fault an operating system's error means for the store."""
    return disk_full(path) if error.errno in NO_ROOM else trouble(path, str(error))

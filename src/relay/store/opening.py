"""Opening the store's file: one opener, mode 0600, a cheap look for damage, the pragmas, the migrations."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from pathlib import Path
from typing import IO

from relay.core.errors import Code, LocalFault
from relay.core.values import frozen
from relay.store import faults
from relay.store.migrations import migrate
from relay.store.query import Tx

APPLICATION_ID = 0x52454C59  # "RELY", in the file's header
_MAGIC = b"SQLite format 3\0"
_PRAGMAS = (
    "busy_timeout = 5000",
    "trusted_schema = OFF",
    "synchronous = FULL",
    "fullfsync = ON",  # macOS: fsync alone does not reach the platter; elsewhere without effect
    "checkpoint_fullfsync = ON",
    "cache_size = -8000",
    "wal_autocheckpoint = 4000",  # mostly the writer has been before it (`Writer`), when nobody waited
    "temp_store = MEMORY",
    "journal_size_limit = 67108864",
)


@frozen
class Opened:
    """A store that is ready for its writer, and the lock that keeps others out while it is open."""

    connection: Tx
    lock: IO[bytes]


def _private(path: Path, flags: int) -> int:
    handle = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.fchmod(handle, 0o600)
    return handle


def _take_lock(path: Path) -> IO[bytes]:
    lock = os.fdopen(_private(path.with_name(path.name + ".lock"), os.O_RDWR), "r+b")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise LocalFault(
            f"the store {path} is in use",
            code=Code.ALREADY_RUNNING,
            why="another process of this home has it open; one process opens a store",
            hint="relay status",
        ) from None
    return lock


def _check_header(path: Path) -> None:
    """Refuse what is no SQLite file before SQLite sees it; an empty file is a store not yet begun."""
    with os.fdopen(_private(path, os.O_RDONLY), "rb") as file:
        start = file.read(len(_MAGIC))
    if start and start != _MAGIC:
        raise faults.corrupt(path, "it does not begin as an SQLite database does")


def _check_schema(connection: Tx, path: Path) -> None:
    """Read the whole schema: finds a damaged first page, and another program's database."""
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    if tables and owner != APPLICATION_ID:
        raise faults.corrupt(path, "it is the database of another program")
    if not tables:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _configure(connection: Tx, path: Path) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise faults.trouble(path, f"its file system allows the journal mode {mode!r} only, not WAL")
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def connect(path: Path) -> Tx:
    """A plain connection in autocommit mode, good for use from another thread than this one."""
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)


def _prepare(path: Path, now: int) -> Tx:
    _check_header(path)
    connection = connect(path)
    try:
        _check_schema(connection, path)
        _configure(connection, path)
        migrate(connection, path, now=now)
    except BaseException:
        connection.close()
        raise
    return connection


def open_file(path: Path, now: int) -> Opened:
    """Open the store and bring it to the newest schema. Blocks: call it in a thread.

    Args:
        path: the store's file; made, with mode 0600, where there is none.
        now: milliseconds since 1970, for the name of a copy made before a migration.

    Raises:
        LocalFault: `already_running`, `store_corrupt`, `store_newer`, `disk_full` or `store_fault`.
    """
    with contextlib.ExitStack() as undo:
        try:
            lock = undo.enter_context(_take_lock(path))
            connection = _prepare(path, now)
        except sqlite3.Error as error:
            raise (faults.fault_of(error, path) or faults.corrupt(path, str(error))) from None
        except OSError as error:
            raise faults.of_system(error, path) from None
        undo.pop_all()
    return Opened(connection, lock)

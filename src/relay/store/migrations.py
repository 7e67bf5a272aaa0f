"""Numbered migrations: `user_version` is how many of them a file has been through.

A migration is never edited once it was released; the next one is appended. Before an existing store is
migrated it is copied, and the last three copies are kept.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from relay.core.errors import Code, LocalFault
from relay.store.faults import BACKUPS
from relay.store.query import Tx
from relay.store.schema import VERSION_1, VERSION_2, VERSION_3, VERSION_4, VERSION_5, VERSION_6
from relay.store.schema_audit import VERSION_12
from relay.store.schema_begun import VERSION_20
from relay.store.schema_dashboard import VERSION_15
from relay.store.schema_ends import VERSION_10
from relay.store.schema_notify import VERSION_14
from relay.store.schema_orders import VERSION_22
from relay.store.schema_outbox import VERSION_18
from relay.store.schema_pages import VERSION_19
from relay.store.schema_provenance import VERSION_11
from relay.store.schema_queue import VERSION_21
from relay.store.schema_refused import VERSION_23
from relay.store.schema_results import VERSION_8
from relay.store.schema_running import VERSION_7
from relay.store.schema_tests import VERSION_13
from relay.store.schema_tools import VERSION_16
from relay.store.schema_views import VERSION_9
from relay.store.schema_words import VERSION_17

MIGRATIONS: tuple[str, ...] = (
    VERSION_1,
    VERSION_2,
    VERSION_3,
    VERSION_4,
    VERSION_5,
    VERSION_6,
    VERSION_7,
    VERSION_8,
    VERSION_9,
    VERSION_10,
    VERSION_11,
    VERSION_12,
    VERSION_13,
    VERSION_14,
    VERSION_15,
    VERSION_16,
    VERSION_17,
    VERSION_18,
    VERSION_19,
    VERSION_20,
    VERSION_21,
    VERSION_22,
    VERSION_23,
)
KEPT_COPIES = 3


def version(connection: Tx) -> int:
    """How many migrations this file has been through."""
    number: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return number


def migrate(connection: Tx, path: Path, *, now: int, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Bring a store to the newest schema, one transaction a migration.

    Args:
        connection: in autocommit mode.
        path: the store's file; copies go to the folder `backups` beside it.
        now: milliseconds since 1970, for the copy's name.
        migrations: all of them, oldest first.

    Raises:
        LocalFault: `store_newer`: a later version of Relay wrote it.
    """
    at = version(connection)
    if at > len(migrations):
        raise _newer(path, at, len(migrations))
    copy = _copy_path(path, at, now)
    if 0 < at < len(migrations):
        _drop_cut_off(path)
        back_up(connection, copy)
    try:
        for number in range(at, len(migrations)):
            _apply(connection, number + 1, migrations[number])
    except BaseException:
        if version(connection) == at:
            copy.unlink(missing_ok=True)  # of a store that stands as it was: each new try would leave one more
        raise
    _keep_last(path)


def _newer(path: Path, found: int, known: int) -> LocalFault:
    return LocalFault(
        f"the store {path} was written by a later version of Relay",
        code=Code.STORE_NEWER,
        why=f"its schema is version {found}; this program knows versions up to {known}",
        hint=f"upgrade Relay on this machine, or restore an older copy from {path.parent / BACKUPS}",
    )


def _plain(script: str) -> str:
    """The script for this SQLite: STRICT came with 3.37; without it the tables are the same, only less suspicious."""
    if sqlite3.sqlite_version_info >= (3, 37):
        return script
    return script.replace(", STRICT;", ";").replace(") STRICT;", ");")


def _apply(connection: Tx, number: int, script: str) -> None:
    try:
        connection.executescript(f"BEGIN IMMEDIATE; {_plain(script)} PRAGMA user_version = {number}; COMMIT;")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _copy_path(path: Path, at: int, now: int) -> Path:
    stamp = datetime.fromtimestamp(now / 1000, UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3]
    return path.parent / BACKUPS / f"{path.stem}-{stamp}Z-v{at}{path.suffix}"


def _drop_cut_off(path: Path) -> None:
    """Remove what a kill left of copies while they were made, as large as the store each."""
    for part in (path.parent / BACKUPS).glob(f"{path.stem}-*-v*{path.suffix}.part*"):
        part.unlink()


def _keep_last(path: Path) -> None:
    copies = sorted((path.parent / BACKUPS).glob(f"{path.stem}-*-v*{path.suffix}"))
    for old in copies[:-KEPT_COPIES]:
        old.unlink()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def back_up(connection: Tx, copy: Path) -> None:
    """Write a compacted copy of the store, durable and complete when it has its name.

    Args:
        connection: any open one, outside a transaction.
        copy: the new file, mode 0600; its folder is made, mode 0700.
    """
    copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = copy.with_name(copy.name + ".part")
    part.unlink(missing_ok=True)
    # VACUUM INTO takes an empty file: so the mode is right before the first byte
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        connection.execute("VACUUM INTO ?", (str(part),))
        _sync(part)
        part.rename(copy)
    except BaseException:
        part.unlink(missing_ok=True)  # on a full disk it must not stay in the way
        raise
    _sync(copy.parent)

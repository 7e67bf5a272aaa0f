"""The store as its users see it: `write` an op, read a query, back up, check."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from relay.core.errors import LocalFault
from relay.store import faults, meta
from relay.store.migrations import back_up
from relay.store.opening import Opened, connect, open_file
from relay.store.query import Query, Tx
from relay.store.reading import Readers
from relay.store.writer import Writer

T = TypeVar("T")
MAX_PROBLEMS = 20
CHECKED = "checked"
FEW = 3
AT_ONCE, PAUSE_S = 200, 0.001
REPLACED = "its file was removed, or replaced, while this broker had it open: what that writes now goes when it ends"


class Store:
    """One SQLite file, opened by one process. Made by `Store.open`; used from the loop that opened it."""

    def __init__(self, path: Path, opened: Opened, readers: Readers) -> None:
        self.path = path
        self._file = _identity(path)
        self._lock = opened.lock
        self._readers = readers
        self._writer = Writer(opened.connection, path, asyncio.get_running_loop())

    @classmethod
    async def open(cls, path: Path, *, readers: int = 2) -> Store:
        """Open or make the store and bring it to the newest schema.

        Args:
            path: the file; its folder exists.
            readers: how many reading connections.

        Raises:
            LocalFault: `already_running`, `store_corrupt`, `store_newer`, `disk_full` or `store_fault`.
        """
        opened = await asyncio.to_thread(open_file, path, time.time_ns() // 1_000_000)
        reading = Readers(path)
        try:
            await reading.open(readers)
        except BaseException:
            opened.connection.close()
            opened.lock.close()
            raise
        return cls(path, opened, reading)

    async def __aenter__(self) -> Store:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def write(self, op: Callable[[Tx], T]) -> T:
        """Run an op in the next batch; when this returns, what it did is on disk.

        A cancelled caller's op runs all the same, wholly or not at all.

        Args:
            op: synchronous, without I/O of its own, run on the writer thread; it must not commit or roll back.
                What it raises undoes it alone and is raised here.

        Raises:
            LocalFault: `disk_full`, `store_corrupt` or `store_fault`: nothing of the batch was done.
        """
        return await self.submit(op)

    def submit(
        self,
        op: Callable[[Tx], T],
        after: Callable[[], None] | None = None,
        instead: Callable[[], None] | None = None,
    ) -> asyncio.Future[T]:
        """Hand an op over at once; the future is done after its COMMIT. As `write` in all else.

        Args:
            op: as for `write`.
            after: called on the loop after the COMMIT and before the caller resumes, whether it still waits or not.
            instead: called there where nothing of it was done.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._writer.submit(op, done, after, instead)
        return done

    def meanwhile(self, callback: Callable[[], None]) -> None:
        """Call this on the loop while the transaction runs, where few share it; for an op.

        Where many do, there is enough to be done meanwhile, and nothing gained by what may be for nothing.
        """
        if self._writer.shared_by <= FEW:
            self._writer.on_loop(callback)

    def write_soon(self, op: Callable[[Tx], object]) -> None:
        """Run an op in the next batch without waiting; for what may be lost in a crash. A failure is logged.

        Raises:
            LocalFault: the store is closed.
        """
        self._writer.submit(op, None)

    def write_lazily(self, op: Callable[[Tx], object], *, behind: bool = False) -> None:
        """Run an op with the next batch, or in 50 ms; for tidying that is worth no commit of its own.

        Args:
            op: as for `write`.
            behind: after all ops of a batch of which one calls `take_along`, so that it may find its work done, and
                the pages that it writes to written anyway; at the end of the 50 ms in any case.

        Raises:
            LocalFault: the store is closed.
        """
        self._writer.submit_lazily(op, behind)

    def take_along(self) -> None:
        """From within an op: what was handed over to go behind goes into this transaction."""
        self._writer.take_along()

    async def all(self, query: Query[T], /, **params: Any) -> list[T]:
        """Every row of a query, as of the last commit."""
        found = await self._readers.rows(query.sql, params)
        made = [query.row(each) for each in found[:AT_ONCE]]
        for begin in range(AT_ONCE, len(found), AT_ONCE):
            # ten thousand rows take a quarter of a second, in which all else, the writer too, would stand still
            await asyncio.sleep(PAUSE_S)
            made += [query.row(each) for each in found[begin : begin + AT_ONCE]]
        return made

    async def one(self, query: Query[T], /, **params: Any) -> T | None:
        """The first row of a query or None, as of the last commit."""
        found = await self._readers.rows(query.sql, params)
        return query.row(found[0]) if found else None

    @property
    def trouble(self) -> str:
        """Why the last write could not be committed; empty where it was."""
        return self._writer.trouble

    async def write_trouble(self) -> str:
        """Why nothing can be written now; empty where something was, as a trial."""
        try:
            await self.write(lambda tx: meta.put(tx, CHECKED, os.urandom(8).hex()))
        except LocalFault as fault:
            return fault.why or fault.message
        return ""

    async def integrity(self, *, thorough: bool = False) -> list[str]:
        """What SQLite finds wrong with the file, at most twenty lines; empty is well. Reads all of it.

        Args:
            thorough: check the indexes against their tables too.
        """
        if await asyncio.to_thread(_identity, self.path) != self._file:
            return [REPLACED]
        return await asyncio.to_thread(_problems, self.path, "integrity_check" if thorough else "quick_check")

    async def back_up(self, copy: Path) -> None:
        """Write a consistent, compacted, durable copy while work goes on.

        Args:
            copy: the new file, mode 0600; replaced where it exists.

        Raises:
            LocalFault: `disk_full` or `store_fault`.
        """
        await asyncio.to_thread(_copy, self.path, copy)

    async def close(self) -> None:
        """Commit what was handed over, close, let the next opener in; safe to call twice."""
        await self._readers.close()
        await self._writer.close()
        self._lock.close()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _problems(path: Path, check: str) -> list[str]:
    connection = connect(path)
    try:
        found = [str(line) for (line,) in connection.execute(f"PRAGMA {check}({MAX_PROBLEMS})")]
    except sqlite3.DatabaseError as error:
        return [str(error)]
    finally:
        connection.close()
    return [] if found == ["ok"] else found


def _copy(path: Path, copy: Path) -> None:
    connection = connect(path)
    try:
        back_up(connection, copy)
    except sqlite3.Error as error:
        raise (faults.fault_of(error, path) or error) from None
    except OSError as error:
        raise faults.of_system(error, copy) from None
    finally:
        connection.close()

"""The reading side: a few aiosqlite connections that cannot write, each with a thread of its own."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import aiosqlite

from relay.store import faults
from relay.store.query import Row


async def _connect(path: Path) -> aiosqlite.Connection:
    connection = await aiosqlite.connect(path, isolation_level=None)
    for pragma in ("query_only = ON", "busy_timeout = 5000", "trusted_schema = OFF"):
        await connection.execute_fetchall(f"PRAGMA {pragma}")
    return connection


class Readers:
    """A pool of reading connections: whoever is free answers, so that a long list does not hold up a short look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connections: list[aiosqlite.Connection] = []
        self._free: asyncio.Queue[aiosqlite.Connection] = asyncio.Queue()
        self._closed = False

    async def open(self, count: int) -> None:
        """Connect.

        Args:
            count: how many connections (and threads).
        """
        try:
            for _ in range(count):
                connection = await _connect(self._path)
                self._connections.append(connection)
                self._free.put_nowait(connection)
        except BaseException:
            await self.close()
            raise

    async def rows(self, sql: str, params: dict[str, Any]) -> list[Row]:
        """Every row of a SELECT.

        Raises:
            LocalFault: the store is closed, damaged or unreadable.
        """
        if self._closed:
            raise faults.closed(self._path)
        connection = await self._free.get()
        try:
            return list(await connection.execute_fetchall(sql, params))
        except sqlite3.Error as error:
            raise (faults.fault_of(error, self._path) or error) from None
        except ValueError:  # aiosqlite's word for a connection that was closed meanwhile
            if not self._closed:
                raise
            raise faults.closed(self._path) from None
        finally:
            # after a cancellation too: the thread finishes the abandoned statement before the next one
            self._free.put_nowait(connection)

    async def close(self) -> None:
        """Finish what runs and close; safe to call twice."""
        self._closed = True
        while self._connections:
            await self._connections.pop().close()

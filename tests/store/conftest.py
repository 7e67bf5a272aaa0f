"""A store in a folder of its own, and an op's transaction for tests that need no loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from relay.store.engine import Store
from relay.store.opening import open_file
from relay.store.query import Tx


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with await Store.open(tmp_path / "relay.db") as opened:
        yield opened


@pytest.fixture
def tx(tmp_path: Path) -> Iterator[Tx]:
    """The writing connection itself, in a transaction as an op finds it: ops are plain functions of it."""
    opened = open_file(tmp_path / "ops.db", 0)
    opened.connection.execute("BEGIN IMMEDIATE")  # else each statement is one, and waits for the disk
    yield opened.connection
    opened.connection.close()
    opened.lock.close()

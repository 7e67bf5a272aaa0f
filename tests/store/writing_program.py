"""Writes events from eight callers for ever, and prints the number of each once it is acknowledged."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from pathlib import Path

from relay.store.engine import Store
from tests.store.specimens import add_event

CALLERS = 8


async def _caller(store: Store, numbers: itertools.count[int]) -> None:
    for number in numbers:
        await store.write(lambda tx, number=number: add_event(tx, number, 300))  # type: ignore[misc]
        os.write(1, f"{number}\n".encode())


async def _main(path: Path) -> None:
    store = await Store.open(path)
    numbers = itertools.count()
    await asyncio.gather(*(_caller(store, numbers) for _ in range(CALLERS)))


asyncio.run(_main(Path(sys.argv[1])))

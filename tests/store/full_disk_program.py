"""Fills a small file system, goes on writing, makes room, and prints what callers were told, as JSON.

Usage: full_disk_program FOLDER. FOLDER becomes a 2 MiB tmpfs: run it under `unshare --user --map-root-user --mount`.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

from relay.core.errors import LocalFault
from relay.store.engine import Store
from tests.store.specimens import COUNT_EVENTS, add_event

CALLERS = 16


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


async def _volley(store: Store, start: int) -> list[str]:
    writes = [store.write(lambda tx, n=start + n: add_event(tx, n, 20_000)) for n in range(CALLERS)]  # type: ignore[misc]
    answers = await asyncio.gather(*writes, return_exceptions=True)
    return [str(answer.code) if isinstance(answer, LocalFault) else type(answer).__name__ for answer in answers]


async def _main(folder: Path) -> None:
    async with await Store.open(folder / "relay.db") as store:
        before = await _volley(store, 0)
        _fill(folder / "filler")
        full = await _volley(store, 100)
        during = await store.one(COUNT_EVENTS)
        (folder / "filler").unlink()
        after = await _volley(store, 200)
        count = await store.one(COUNT_EVENTS)
        problems = await store.integrity(thorough=True)
    told = {"before": before, "full": full, "during": during, "after": after, "count": count, "problems": problems}
    os.write(1, json.dumps(told).encode())


subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", sys.argv[1]], check=True)
asyncio.run(_main(Path(sys.argv[1])))

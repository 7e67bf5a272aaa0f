"""Makes COMMIT itself fail, by a limit on the length of files, lifts the limit, and prints what callers were told."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from pathlib import Path

from relay.core.errors import LocalFault
from relay.store.engine import Store
from tests.store.specimens import COUNT_EVENTS, add_event

CALLERS = 16


def _limit(length: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, resource.RLIM_INFINITY))


async def _volley(store: Store, start: int) -> list[str]:
    writes = [store.write(lambda tx, n=start + n: add_event(tx, n, 500)) for n in range(CALLERS)]  # type: ignore[misc]
    answers = await asyncio.gather(*writes, return_exceptions=True)
    return [str(answer.code) if isinstance(answer, LocalFault) else type(answer).__name__ for answer in answers]


async def _main(path: Path) -> None:
    async with await Store.open(path) as store:
        before = await _volley(store, 0)
        _limit(path.with_name(path.name + "-wal").stat().st_size)
        refused = await _volley(store, 100)
        during = await store.one(COUNT_EVENTS)
        _limit(resource.RLIM_INFINITY)
        after = await _volley(store, 200)
        count = await store.one(COUNT_EVENTS)
        problems = await store.integrity(thorough=True)
    told = {"before": before, "full": refused, "during": during, "after": after, "count": count, "problems": problems}
    os.write(1, json.dumps(told).encode())


asyncio.run(_main(Path(sys.argv[1])))

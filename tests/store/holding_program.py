"""Opens a store, says so, and holds it until its input ends."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from relay.store.engine import Store


async def _main(path: Path) -> None:
    async with await Store.open(path):
        os.write(1, b"open\n")
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(_main(Path(sys.argv[1])))

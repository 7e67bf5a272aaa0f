"""Opens a store where only so many files more may be made, more of them each time, and prints what came of it, as JSON.

Usage: no_files_program FOLDER. FOLDER becomes a tmpfs: run it under `unshare --user --map-root-user --mount`.
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

NEEDED = 4  # the store, its log, its index, its lock


def _mount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], check=True)


async def _opened(folder: Path) -> list[str]:
    try:
        async with await Store.open(folder / "relay.db") as store:
            return await store.integrity(thorough=True)
    except LocalFault as fault:
        return [str(fault.code), fault.hint]


async def _main(folder: Path) -> None:
    told = []
    for spare in range(NEEDED + 1):
        _mount(folder, f"nr_inodes={1 + spare}")
        told.append(await _opened(folder))
    os.write(1, json.dumps(told).encode())


asyncio.run(_main(Path(sys.argv[1])))

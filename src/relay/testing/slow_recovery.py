"""A broker that is slow to sort out its attempt folders at its start, as one with many of them on a slow disk.

    python -m relay.testing.slow_recovery --home DIR ...

All words go to `relay.daemon`. The step is wrapped from outside, in this process only.
"""

from __future__ import annotations

import asyncio
import runpy
import sys

from relay.spawn.attempting import Attempting

SECONDS = 3.0
LAUNCHER = (sys.executable, "-m", "relay.testing.slow_recovery")
_open = Attempting.open


async def _slowly(attempting: Attempting) -> None:
    await asyncio.sleep(SECONDS)
    await _open(attempting)


if __name__ == "__main__":
    Attempting.open = _slowly  # type: ignore[method-assign, assignment]
    runpy.run_module("relay.daemon", run_name="__main__", alter_sys=True)

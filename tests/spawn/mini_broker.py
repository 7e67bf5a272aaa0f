"""A broker's worth of launching, to be killed: `python mini_broker.py ROOT NAME SCRIPT`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from relay.spawn.attempt import Attempt
from relay.spawn.launcher import Launcher
from relay.spawn.launching import LaunchSpec
from relay.spawn.watch import Watcher


async def main(root: Path, name: str, script: str) -> None:
    launcher = Launcher(Watcher())
    attempt = Attempt.prepare(root, name)
    shim = await launcher.launch(
        LaunchSpec(attempt.folder, ("sh", "-c", script), {"PATH": "/usr/bin:/bin"}, Path("/"))
    )
    sys.stdout.write(f"{shim} {launcher.server_pid}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))

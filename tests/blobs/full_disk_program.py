"""A blob that comes to a disk which fills up in the middle, and is freed again; prints what was told, as JSON.

Usage: full_disk_program FOLDER. FOLDER becomes a 96 MiB tmpfs that holds the recipient's blobs: run it under
`unshare --user --map-root-user --mount`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from relay.testing.blob_traps import go_on, launcher
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until

SIZE = 24 * 2**20
HELD = 96  # chunks, half of them


def _fill(path: Path) -> None:
    with path.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65536))
        except OSError:
            return


def _blob(node: Node) -> dict[str, Any]:
    with node.control() as control:
        found: list[dict[str, Any]] = control.get("blobs")
    return found[0] if found else {"state": "", "done": 0}


def _in_state(node: Node, state: str, within: float = 40) -> dict[str, Any]:
    return wait_until(lambda: found if (found := _blob(node))["state"] == state else {}, within, state, every=0.05)


def _main(disk: Path) -> dict[str, Any]:
    with Mesh.scratch() as mesh:
        laptop, vps = mesh.pair("laptop", "vps")
        vps.relay("trust", "allow", laptop.id, "--verb", "push")
        vps.stop()
        (vps.home / "blobs").rmdir()
        (vps.home / "blobs").symlink_to(disk)
        vps.start()
        served = mesh.folder / "served"
        laptop.stop()
        laptop.launcher = launcher(served, slow=0.02, hold=HELD)  # it does not come to its end before the disk is full
        laptop.start()
        mesh.await_link(laptop, vps)
        source = mesh.folder / "source"
        source.write_bytes(os.urandom(SIZE))
        laptop.relay("blob", "send", str(source), "--broker", "vps")
        wait_until(lambda: int(_blob(vps)["done"]) > SIZE // 3, 30, "a third")
        _fill(disk / "filler")
        go_on(served).touch()
        paused = _in_state(vps, "paused")
        spawn = vps.relay_json("spawn", "-", "shell", "true", "--cwd", "/", "--wait")
        sent = laptop.relay("blob", "list").stdout
        (disk / "filler").unlink()
        here = _in_state(vps, "here")
        vps.relay("blob", "get", "source", "-o", str(mesh.folder / "out"))
        return {
            "paused": paused,
            "spawn": spawn["state"],
            "sent": sent,
            "here": here,
            "same": (mesh.folder / "out").read_bytes() == source.read_bytes(),
            "served": len(served.read_text().split()),
            "log": vps.log() + laptop.log(),
        }


subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "none", sys.argv[1]], check=True)
os.write(1, json.dumps(_main(Path(sys.argv[1]))).encode())

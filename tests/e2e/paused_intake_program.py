"""A target whose disk is full: nothing is taken in, nothing is refused for good; prints what the origin was told.

Usage: paused_intake_program FOLDER. FOLDER is the scratch folder; the target's home is a 48 MiB tmpfs in it: run it
under `unshare --user --map-root-user --mount`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from relay.testing import clocked
from relay.testing.mesh import Mesh
from relay.testing.processes import wait_until
from tests.e2e.scene import tasks_alive

TERMINAL = ("completed", "failed", "timed_out", "cancelled", "rejected", "expired", "lost")


def _fill(path: Path) -> None:
    with path.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def _main(folder: Path) -> dict[str, Any]:
    tempfile.tempdir = str(folder)
    with Mesh.scratch() as mesh:
        home = mesh.folder / "vps"
        home.mkdir(mode=0o700)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m,mode=700", "none", str(home)], check=True)
        try:
            return _two(mesh, home / "filler")
        finally:
            for node in mesh.nodes.values():
                node.stop()
            subprocess.run(["umount", "--lazy", str(home)], check=True)


def _two(mesh: Mesh, filler: Path) -> dict[str, Any]:
    laptop, vps = mesh.pair("laptop", "vps")
    mesh.grant(on=vps, to=laptop)
    laptop.stop()
    laptop.launcher = clocked.launcher(0)
    laptop.start()
    mesh.await_link(laptop, vps)
    with laptop.control() as control:
        def shown(spawn: str) -> dict[str, Any]:
            row: dict[str, Any] = control.get(f"spawns/{spawn}")
            return row

        asked: list[str] = []
        running = control.spawn("/bin/sleep", "1000", broker="vps", cwd=str(vps.work))["id"]
        wait_until(lambda: shown(running)["state"] == "running", 20, "its start")

        def paused() -> bool:
            """Ask for more, and fill up what was given up meanwhile, until vps says that it is full."""
            _fill(filler)
            row = control.spawn("/bin/echo", "x" * 50_000, broker="vps", cwd=str(vps.work))
            asked.append(str(row["id"]))
            return any("disk is full" in shown(each)["reason"] for each in asked)

        wait_until(paused, 30, "the origin to be told", every=0.2)
        waiting = next(row for each in asked if "disk is full" in (row := shown(each))["reason"])
        outbox = control.get("outbox")
        _fill(filler)
        control.post(f"spawns/{running}/stop", {"requested_by": "ann"})
        wait_until(lambda: not tasks_alive(running), 20, "what may fill the disk to be gone")
        went_on = vps.running
        filler.unlink()
        ended = [wait_until(lambda each=each: _ended(shown(each)), 50, "the end of all") for each in asked]  # type: ignore[misc]
        stopped = wait_until(lambda: _ended(shown(running)), 50, "its end")["state"]
        after = control.get("outbox")
    return {
        "reason": waiting["reason"],
        "ack": waiting["ack"],
        "state": waiting["state"],
        "outbox": [line["reason"] for line in outbox["outgoing"]],
        "dead": outbox["dead"] + after["dead"],
        "incoming": [line["state"] for line in _incoming(vps)],
        "went_on": went_on,
        "stopped": stopped,
        "ended": sorted({row["state"] for row in ended}),
        "log": vps.log() + laptop.log(),
    }


def _incoming(node: Any) -> list[dict[str, Any]]:
    with node.control() as control:
        found: list[dict[str, Any]] = control.get("outbox")["incoming"]
    return found


def _ended(row: dict[str, Any]) -> dict[str, Any]:
    return row if row["state"] in TERMINAL else {}


if __name__ == "__main__":
    os.write(1, json.dumps(_main(Path(sys.argv[1]))).encode())

"""A broker whose disk fills up and is freed again; prints what its users were told, as JSON.

Usage: full_disk_program FOLDER. FOLDER becomes a 48 MiB tmpfs: run it under `unshare --user --map-root-user --mount`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from relay.testing.control import ControlError
from relay.testing.mesh import Mesh
from relay.testing.node import DAEMON, Node
from relay.testing.processes import wait_until
from tests.e2e.scene import tasks_alive

TERMINAL = ("completed", "failed", "timed_out", "cancelled", "rejected", "expired", "lost")


def _fill(path: Path) -> None:
    with path.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65536))
        except OSError:
            return


def _ask(node: Node) -> str:
    try:
        with node.control() as control:
            return str(control.spawn("/bin/echo", "x" * 50_000, cwd=str(node.work))["state"])
    except ControlError as error:
        return error.code


def _until_refused(node: Node, filler: Path) -> list[str]:
    """Fill what the broker gave up of its reserve too, until it takes nothing more."""
    answers: list[str] = []
    for _ in range(40):
        _fill(filler)
        answers.append(_ask(node))
        if answers[-1] == "disk_full":
            break
    return answers


def _ended(node: Node, spawn: str) -> dict[str, Any]:
    def look() -> dict[str, Any]:
        with node.control() as control:
            found: dict[str, Any] = control.get(f"spawns/{spawn}")
        return found if found["state"] in TERMINAL else {}

    return wait_until(look, 20, f"the end of {spawn}", every=0.1)


def _command(node: Node, filler: Path) -> dict[str, Any]:
    """What a person is told; the broker may have given room back meanwhile, by a checkpoint of its store."""
    for _ in range(10):
        _fill(filler)
        done = node.relay("spawn", "-", "shell", "true", "--cwd", "/", check=False)
        if done.returncode:
            break
    return {"status": done.returncode, "err": done.stderr}


def _started(node: Node, spawn: str) -> None:
    def runs() -> bool:
        with node.control() as control:
            return bool(control.get(f"spawns/{spawn}")["state"] == "running")

    wait_until(runs, 20, f"the start of {spawn}")


def _stopped_while_full(node: Node, spawn: str, filler: Path) -> list[Any]:
    """What may be filling the disk is stopped on it: the status of the command, and that it is gone."""
    _fill(filler)
    done = node.relay("stop", spawn, check=False)
    wait_until(lambda: not tasks_alive(spawn), 5, f"the processes of {spawn} to be gone")
    return [done.returncode]


def _restarted(node: Node, filler: Path) -> bool:
    """Its service starts it while the disk is full; whether it waited until there was room."""
    node.kill()
    node.launcher = (*DAEMON, "--as-service")
    _fill(filler)
    starting = threading.Thread(target=node.start)
    starting.start()
    wait_until(lambda: "it starts once there is room" in node.log() or not starting.is_alive(), 20, "it to say so")
    waited = starting.is_alive() and node.running
    filler.unlink()
    starting.join()
    return waited and node.running


def _main(folder: Path) -> dict[str, Any]:
    tempfile.tempdir = str(folder)
    with Mesh.scratch() as mesh:
        node = mesh.add("solo")
        go, filler = Path("/dev/shm") / f"relay-go-{os.getpid()}", folder / "filler"
        with node.control() as control:
            script = f"while [ ! -e {go} ]; do sleep 0.05; done; head -c 9000000 /dev/zero; : > {go}.said; exit 3"
            running = control.spawn("/bin/sh", "-c", script, cwd=str(node.work))
            filling = control.spawn("/bin/sleep", "1000", cwd=str(node.work))["id"]
            _started(node, filling)
        answers = _until_refused(node, filler)
        told = _command(node, filler)
        stopped = _stopped_while_full(node, filling, filler)
        _fill(filler)
        bare = node.relay(check=False)
        went_on = node.running
        _fill(filler)
        go.touch()
        said = go.with_name(f"{go.name}.said")

        def has_said() -> bool:
            _fill(filler)  # the broker may give up more of its reserve meanwhile, and there is to be no room for it
            return said.exists()

        wait_until(has_said, 20, "the task to have said it all, though nothing of it can be kept")
        again = _restarted(node, filler)
        go.unlink()
        said.unlink()
        ended = _ended(node, running["id"])
        after = wait_until(lambda: _ask(node) != "disk_full", 20, "work to be taken again")
        return {
            "answers": answers,
            "command": told,
            "went_on": went_on,
            "waited_for_room": again,
            "ended": [ended["state"], ended["exit_code"]],
            "lost": [ended["result"]["output_lost_bytes"], ended["result"]["notes"]],
            "logs": node.relay("logs", running["id"]).stderr,
            "after": after,
            "bare": bare.returncode,
            "stopped": [*stopped, _ended(node, filling)["state"]],
            "log": node.log(),
        }


subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "none", sys.argv[1]], check=True)
os.write(1, json.dumps(_main(Path(sys.argv[1]))).encode())

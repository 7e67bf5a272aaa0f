"""A store, or a home, that cannot be written: each view of its broker says so, and again when it can."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from relay.testing.mesh import Mesh
from relay.testing.node import Node
from tests.e2e.scene import Scene, gone_within, relay, relay_json

if not hasattr(resource, "prlimit"):
    pytest.skip("needs prlimit", allow_module_level=True)


@contextlib.contextmanager
def unwritable(node: Node) -> Iterator[None]:
    """No file of this broker grows while the block runs, as with a quota that is used up."""
    assert node.process is not None
    most = resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (min(4_096, len(node.log())), most[1]))
    try:
        yield
    finally:
        resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, most)


def findings(node: Node) -> dict[str, dict[str, object]]:
    return {each["name"]: each for each in relay_json(node, "doctor", status=None)}


def test_no_view_calls_a_store_sound_that_cannot_be_written(two: Scene) -> None:
    vps = two.vps
    assert findings(vps)["store"]["detail"] == "intact"
    with unwritable(vps):
        found = findings(vps)["store"]
        assert not found["ok"] and str(found["detail"]).startswith("it cannot be written: "), found
        assert "NOT OK" in relay(vps, "status").stdout.decode() and not vps.status()["store"]["ok"]
        refused = relay(vps, "spawn", "-", "shell", "true", "--cwd", str(vps.work))
        assert refused.returncode == 1 and b"error:" in refused.stderr
    assert findings(vps)["store"]["ok"] and vps.status()["store"]["ok"]
    done = relay(vps, "spawn", "-", "shell", "true", "--cwd", str(vps.work), "--wait")
    assert done.returncode == 0, done.stderr


def test_what_runs_is_stopped_though_the_store_cannot_be_written(two: Scene) -> None:
    two.grant()
    here, afar = two.begin("sleep 60"), two.begin("sleep 60")
    for spawn in (here, afar):
        two.until(spawn, "running")
    with unwritable(two.vps):
        for node, spawn in ((two.vps, here), (two.laptop, afar)):
            with node.control() as control:
                control.post(f"spawns/{spawn}/stop", {})
        for spawn in (here, afar):
            gone_within(spawn)
    for spawn in (here, afar):
        two.until(spawn, "cancelled")


def test_what_is_done_is_not_called_undone_where_its_copy_cannot_be_written(two: Scene) -> None:
    roster = two.laptop.home / "roster.json"
    kept = roster.read_bytes()
    roster.unlink()
    roster.mkdir()  # so that nothing takes its place, not even of root
    try:
        assert relay(two.laptop, "broker", "rename", "vps", "other").returncode == 0
        names = {each["id"]: each["name"] for each in relay_json(two.laptop, "brokers")}  # with those of other tests
        assert names[two.vps.id] == "other"
    finally:
        roster.rmdir()
        roster.write_bytes(kept)
        relay_json(two.laptop, "broker", "rename", "other", "vps")


def test_a_share_whose_server_cannot_be_told_is_no_fault_of_the_broker(two: Scene) -> None:
    tools = two.laptop.home / "tools"
    assert not tools.exists()
    tools.write_text("")
    try:
        told = relay(two.laptop, "tools", "share", "cat", "--mcp", "/bin/cat").stderr.decode()
        assert "what serves it was not told" in told and str(tools) in told, told
    finally:
        tools.unlink()
        relay_json(two.laptop, "tools", "unshare", "cat")


def test_a_home_that_cannot_be_written_is_found_by_doctor(mesh: Mesh) -> None:
    node = mesh.add("fixed", started=False)
    without = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("needs setpriv: apt-get install util-linux")
        without = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]

    def told(*words: str) -> str:
        command = [*without, sys.executable, "-m", "relay", *words]
        done = subprocess.run(command, env=node.environment(), cwd="/", capture_output=True, text=True, timeout=60)
        assert done.returncode == 1, done
        return done.stdout + done.stderr

    node.home.chmod(0o500)
    try:
        assert f"ls -ld {node.home}; then relay doctor" in told("up", "--detach")
        assert f"{node.home} cannot be written: no broker can run on it" in told("doctor")
    finally:
        node.home.chmod(0o700)
    node.start()

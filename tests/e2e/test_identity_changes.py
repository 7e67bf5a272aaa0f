"""Keys exported and brought back after a lost disk, and a copied machine that becomes a broker of its own."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from relay.testing.mesh import Mesh, free_port
from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.e2e.scene import Scene, error_of, relay, relay_json

PHRASE = "correct horse battery"


def _typed(node: Node, *words: str, phrase: str = PHRASE) -> Any:
    done = relay(node, "--json", "identity", *words, typed=f"{phrase}\n".encode())
    return json.loads(done.stdout)


def _intake(node: Node) -> bool | None:
    """Whether it takes anything in; None where it starts anew just now, and does not say."""
    checks = relay_json(node, "doctor", status=None)
    return next((bool(each["ok"]) for each in checks if each["name"] == "intake"), None)


def _export(node: Node, file: Path) -> None:
    assert _typed(node, "export", str(file), phrase="short")["error"]["code"] == "usage" and not file.exists()
    assert _typed(node, "export", str(file)) == {"id": node.id, "file": str(file)}
    assert file.stat().st_mode & 0o777 == 0o600
    text = file.read_text()
    for name, field in (("identity.key", "seed"), ("workspace.key", "key")):
        assert json.loads((node.home / name).read_text())[field] not in text
    error = _typed(node, "export", str(file))["error"]
    assert error["code"] == "already_set_up" and error["why"], error
    assert error["hint"].startswith("relay identity export FILE, with another name"), error


def _refusals(spare: Node, file: Path) -> None:
    assert _typed(spare, "import", str(file), phrase="another one")["error"]["message"] == "the passphrase is another"
    broken = file.with_name("broken")
    broken.write_text(json.dumps(json.loads(file.read_text()) | {"memory": 1 << 40}))
    broken.chmod(0o600)
    assert _typed(spare, "import", str(broken))["error"]["code"] == "bad_key_file"
    file.chmod(0o644)
    assert _typed(spare, "import", str(file))["error"]["code"] == "bad_key_file", "others can read it"
    file.chmod(0o600)
    assert not (spare.home / "workspace.key").exists()


def test_a_broker_comes_back_from_its_export_after_its_disk_was_lost(mesh: Mesh) -> None:
    two = Scene.made(mesh)
    file = mesh.folder / "keys.json"
    _export(two.vps, file)
    assert _typed(two.vps, "import", str(file))["error"]["code"] == "already_set_up"
    two.vps.stop()
    config = (two.vps.home / "config.toml").read_text()
    shutil.rmtree(two.vps.home)
    _refusals(two.vps, file)
    assert _typed(two.vps, "import", str(file)) == {"id": two.vps.id, "home": str(two.vps.home)}
    (two.vps.home / "config.toml").write_text(config)
    two.vps.start()
    two.linked()
    # its store is empty, which its peer knows: nothing is taken in until its owner says so
    wait_until(lambda: _intake(two.vps) is False, 15, "it to find out")
    relay_json(two.vps, "identity", "keep")
    two.linked()
    wait_until(lambda: _intake(two.vps) is True, 15, "it to take in again")
    relay_json(two.laptop, "trust", "allow", two.vps.id, "--agent", "shell", "--dir", str(two.laptop.work))
    two.grant()
    assert two.shell("true", status=0)["state"] == "completed"


def test_a_copied_machine_becomes_a_broker_of_its_own(mesh: Mesh) -> None:
    two = Scene.made(mesh)
    two.grant()
    copy = Node(mesh.folder, "copy", free_port())
    two.vps.stop()
    shutil.copytree(two.vps.home, copy.home, symlinks=True, ignore=shutil.ignore_patterns("*.sock"))
    config = copy.home / "config.toml"
    config.write_text(config.read_text().replace(str(two.vps.port), str(copy.port)))
    copy.work.mkdir()
    mesh.nodes["copy"] = copy
    two.vps.start()
    two.linked()
    assert error_of(relay(two.vps, "--json", "identity", "new"))["code"] == "already_running"
    two.laptop.stop()
    refused = error_of(relay(two.laptop, "--json", "identity", "new"))
    assert "created the workspace" in refused["why"], refused
    two.laptop.start()
    made = relay_json(copy, "identity", "new", "--name", "copy")
    assert made["former"] == two.vps.id != made["broker"]["id"]
    moved = Path(made["moved_to"])
    assert {"identity.key", "workspace.key", "trust.toml", "relay.db"} <= {each.name for each in moved.iterdir()}
    assert moved.stat().st_mode & 0o077 == 0
    copy.start()
    assert relay_json(copy, "trust", "list") == [] and relay_json(copy, "ps", "--all") == []
    relay_json(copy, "join", relay_json(two.laptop, "invite", "--link")["link"], "--name", "copy")
    wait_until(lambda: two.laptop.status()["links"] == 2, 20, "both to be linked")
    assert {each["name"] for each in relay_json(two.laptop, "brokers")} == {"laptop", "vps", "copy"}
    checks = relay_json(two.laptop, "doctor", status=None)
    assert next(each for each in checks if each["name"] == "identities")["ok"], "nobody is seen twice"


@pytest.mark.parametrize("cut", ["identity.key", "relay.db", "workspace.key"])
def test_a_change_that_was_cut_off_goes_on(mesh: Mesh, cut: str) -> None:
    """A kill between two moves: a command finishes it, and nobody comes up with the former key or the former store."""
    node = mesh.add("alone")
    former = node.id
    node.stop()
    moved = node.home / "former" / "cut"
    moved.mkdir(parents=True, mode=0o700)
    for name in ("identity.key", "roster.json", "relay.db", "workspace.key"):
        os.rename(node.home / name, moved / name)
        if name == cut:
            break
    if cut != "workspace.key":
        assert error_of(relay(node, "--json", "init"))["hint"] == "relay identity new"
        made = relay_json(node, "identity", "new")
        assert made["former"] is None
    else:
        assert error_of(relay(node, "--json", "identity", "new"))["hint"] == "relay init"
        made = relay_json(node, "init")
    assert made["broker"]["id"] != former
    node.start()
    assert relay_json(node, "status")["broker"]["id"] == made["broker"]["id"]


def test_tasks_that_still_run_keep_their_identity(mesh: Mesh) -> None:
    node = mesh.add("busy")
    order = ("spawn", "-", "shell", "sleep 60", "--cwd", str(node.work), "--timeout", "60s")
    spawn = str(relay_json(node, *order)["id"])
    wait_until(lambda: relay_json(node, "show", spawn)["state"] == "running", 15, "it to run")
    node.stop()
    assert "still run" in error_of(relay(node, "--json", "identity", "new"))["message"]
    node.start()
    relay_json(node, "stop", spawn)
    wait_until(lambda: relay_json(node, "show", spawn)["state"] == "cancelled", 15, "it to end")
    node.stop()
    assert relay_json(node, "identity", "new")["former"] == node.id

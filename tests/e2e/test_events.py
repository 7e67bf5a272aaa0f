"""What subscribers of `relay events` are told, and that they are told when they cannot be."""

from __future__ import annotations

import json
import shutil
from typing import Any

from relay.testing.mesh import Mesh
from relay.testing.node import Node
from tests.e2e.scene import Scene, fresh, relay, relay_json, started


def _events(node: Node, *words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in relay(node, "events", "--json", *words).stdout.splitlines()]


def test_who_has_seen_more_than_a_store_that_was_put_back_is_told(mesh: Mesh) -> None:
    """Else it would hear nothing of what happens, until as much has happened again as it has seen."""
    node = mesh.add("laptop")
    node.stop()
    kept = mesh.folder / "kept.db"
    shutil.copy(node.home / "relay.db", kept)
    node.start()
    with started(node, "--json", "events", "-f", "--since", "0") as follower:
        assert follower.stdout is not None
        for _ in range(2):
            relay_json(node, "spawn", "-", "shell", "true", "--wait")
        seen = _events(node)[-1]["seq"]
        while json.loads(follower.stdout.readline())["seq"] < seen:
            pass
        node.stop()
        for file in node.home.glob("relay.db*"):
            file.unlink()
        shutil.copy(kept, node.home / "relay.db")
        node.start()
        # a broker that is stopped is no end of what happens: who follows goes on as it is started
        assert any(b'"reset"' in line for line in iter(follower.stdout.readline, b""))
    told = _events(node, "--since", str(seen))
    assert [each["kind"] for each in told] == ["reset"] and told[0]["seq"] < seen
    assert b"no longer kept" in relay(node, "events", "--since", str(seen)).stdout
    relay_json(node, "spawn", "-", "shell", "true", "--wait")
    assert "spawn.state" in {each["kind"] for each in _events(node, "--since", str(told[0]["seq"]))}


def test_the_event_of_a_question_says_what_kind_of_question_it_is(two: Scene) -> None:
    two.grant("--agent", "shell", "--ask")
    spawn = two.begin("true", name=fresh("asked"))
    needs = two.until(spawn, "held")["needs"]
    told = [each for each in _events(two.vps) if each["kind"] == "spawn.needs" and each["spawn"] == spawn]
    assert [(each["asks"], each["request"], each["text"]) for each in told] == [
        ("held", needs["request"], needs["text"])
    ]
    relay(two.laptop, "stop", spawn)

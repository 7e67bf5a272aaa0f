"""What `edit` says and does of a moment and of a time to live."""

from __future__ import annotations

from relay.testing import processes
from relay.testing.node import Node
from tests.e2e.scene import Scene, relay_json


def _own(node: Node, *options: str, name: str = "-") -> str:
    """A spawn of this machine itself."""
    return str(relay_json(node, "spawn", name, "shell", "true", "--cwd", str(node.work), *options)["id"])


def test_another_moment_is_said_at_once_here_and_at_its_origin(granted: Scene) -> None:
    for spawn in (granted.begin("true", "--at", "2h"), _own(granted.laptop, "--at", "2h")):
        first = granted.until(spawn, "waiting")["reason"]
        edited = relay_json(granted.laptop, "edit", spawn, "--at", "3h")["reason"]
        assert edited.startswith("not before ") and edited != first
        assert granted.show(spawn)["reason"] == edited
        relay_json(granted.laptop, "stop", spawn)


def test_a_shorter_time_to_live_ends_what_waits_in_time(granted: Scene) -> None:
    granted.vps.stop()
    processes.wait_until(lambda: granted.laptop.status()["links"] == 0, 10, "the link to be seen gone")
    unsent = granted.begin("true")
    relay_json(granted.laptop, "edit", unsent, "--ttl", "1s")
    assert granted.until(unsent, "expired", within=8)["reason"] == "it was not sent before its time to live was over"


def test_a_shorter_time_to_live_ends_what_is_held_in_time(granted: Scene) -> None:
    granted.grant("--agent", "shell", "--ask")
    spawn = granted.begin("true")
    granted.until(spawn, "held")
    relay_json(granted.laptop, "edit", spawn, "--ttl", "1s")
    assert not granted.until(spawn, "expired", within=8)["attempt"]

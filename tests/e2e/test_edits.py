"""What `edit` says and does of a moment."""

from __future__ import annotations

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

"""A store that cannot be written: each view of its broker says so, and again when it can."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator

import pytest

from relay.testing.node import Node
from tests.e2e.scene import Scene, relay, relay_json

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

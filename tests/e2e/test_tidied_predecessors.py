"""What comes after something that has ended so long ago that its target, or its own machine, has tidied it away."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from relay.testing import clocked, processes
from relay.testing.control import ControlError
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from tests.e2e.scene import LONGEST, Scene, relay, relay_json

KEPT = 'retention = "6s"'


@pytest.fixture(scope="module")
def forgetful() -> Iterator[Scene]:
    """vps tidies away what ended 6 s ago; laptop keeps it."""
    with Mesh.scratch("relay-tidied-") as mesh:
        scene = Scene.made(mesh)
        scene.vps.stop()
        scene.vps.configure(KEPT)
        scene.vps.launcher = clocked.launcher(0)
        scene.vps.start()
        scene.linked()
        scene.grant()
        yield scene
        assert "Traceback" not in scene.laptop.log() + scene.vps.log()


def _is_known(node: Node, spawn: str) -> bool:
    with node.control() as control:
        try:
            control.get(f"spawns/{spawn}")
        except ControlError as error:
            assert error.code == "unknown_spawn", error
            return False
    return True


def _tidied(scene: Scene, spawn: str) -> str:
    processes.wait_until(lambda: not _is_known(scene.vps, spawn), 30, "vps to have tidied up")
    return spawn


def test_its_end_counts_all_the_same(forgetful: Scene) -> None:
    done, failed = forgetful.begin("true"), forgetful.begin("false")
    words = ("spawn", "-", "shell", "true", "--cwd", str(forgetful.vps.work), "--idempotency-key", "one")
    for each in (done, failed, relay_json(forgetful.vps, *words)["id"]):
        _tidied(forgetful, each)
    assert b"has ended and is not kept any more" in relay(forgetful.vps, *words).stderr
    for option, before in (("--after", done), ("--after-any", done), ("--after-any", failed)):
        forgetful.until(forgetful.begin("true", option, before), "completed")
    ended = forgetful.until(forgetful.begin("true", "--after", failed), "cancelled")
    assert ended["error"]["code"] == "predecessor_failed"
    assert ended["reason"] == f"after {failed}, which ended as failed"
    later = forgetful.begin("true", "--at", "1h")
    relay(forgetful.laptop, "edit", later, "--after", done, "--at", "now")
    forgetful.until(later, "completed")


def test_it_counts_for_another_attempt_too(forgetful: Scene) -> None:
    first = forgetful.begin("true")
    second = forgetful.begin(f"test -e {forgetful.vps.work}/again || sleep {LONGEST}", "--after", first)
    forgetful.until(second, "running")
    _tidied(forgetful, first)
    (forgetful.vps.work / "again").touch()
    relay(forgetful.laptop, "stop", second)
    relay(forgetful.vps, "retry", second)  # where nobody remembers the first, and this one for 6 s
    forgetful.until(second, "completed")


def test_what_was_cancelled_with_it_says_so_when_it_is_asked_for_again(forgetful: Scene) -> None:
    vps, place = forgetful.vps, ("--cwd", str(forgetful.vps.work))
    first = relay_json(vps, "spawn", "-", "shell", "false", *place, "--wait", status=1)["id"]
    anyhow = relay_json(vps, "spawn", "-", "shell", "false", *place, "--after-any", first, "--wait", status=1)["id"]
    second = relay_json(vps, "spawn", "-", "shell", "true", *place, "--after", first, status=130)["id"]

    def again() -> bool:
        relay(vps, "retry", anyhow)
        forgetful.until(anyhow, "failed", on=vps)  # and is kept for that much longer
        return "which is not known any more" in relay_json(vps, "retry", second, status=None)["reason"]

    processes.wait_until(again, 30, "vps to have tidied up")
    ended = relay_json(vps, "show", second)
    assert (ended["state"], ended["error"]["code"], ended["attempt"]) == ("cancelled", "predecessor_failed", 0)
    assert relay_json(vps, "show", anyhow)["attempt"] > 2

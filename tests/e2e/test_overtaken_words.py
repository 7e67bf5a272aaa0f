"""A word of a spawn's target that comes after later ones: what it alone tells is known all the same."""

from __future__ import annotations

import sys

from relay.testing import clocked, processes
from relay.testing.mesh import Mesh
from tests.e2e.scene import Scene

HICCUP = (sys.executable, "-m", "tests.e2e.store_hiccup_program")


def test_how_an_attempt_ended_is_known_though_the_next_ones_word_overtook_it(mesh: Mesh) -> None:
    two = Scene.made(mesh)
    two.grant()
    for node, launcher in ((two.laptop, HICCUP), (two.vps, clocked.launcher(0))):
        node.stop()
        node.launcher = launcher
        node.start()
    two.linked()
    spawn = two.begin("exit 3", "--retries", "1")
    two.until(spawn, "failed")

    def tried() -> list[tuple[int, str]]:
        return [(each["attempt"], each["state"]) for each in two.show(spawn)["attempts"]]

    processes.wait_until(tried, 20, "the word on the first attempt")
    assert tried() == [(1, "failed")] and "for once" in two.laptop.log()

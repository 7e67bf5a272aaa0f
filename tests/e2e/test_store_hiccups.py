"""A store that fails once: what a word alone tells is known all the same, later ones before it or not."""

from __future__ import annotations

import sys

import pytest

from relay.testing import clocked, processes
from relay.testing.mesh import Mesh
from tests.e2e.scene import LONGEST, Scene

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


@pytest.mark.parametrize("is_told", [True, False], ids=["revoked", "by hand"])
def test_a_grant_that_is_gone_ends_what_it_let_run_as_soon_as_the_store_works(mesh: Mesh, is_told: bool) -> None:
    two = Scene.made(mesh)
    two.grant()
    two.vps.stop()
    two.vps.launcher = HICCUP
    two.vps.start()
    two.linked()
    spawn = two.begin(f"sleep {LONGEST}")
    two.until(spawn, "running")
    told = ""
    if is_told:
        done = two.vps.relay("trust", "revoke", two.laptop.id, check=False)
        told = done.stdout + done.stderr
    else:
        (two.vps.home / "trust.toml").write_text("")
    with two.vps.control() as control:

        def state() -> str:
            return str(control.get(f"spawns/{spawn}")["state"])

        processes.wait_until(lambda: state() == "cancelled", 20, "the end of what has no grant")
    assert "for once" in two.vps.log() + told
    assert f"the work on {spawn}; it is taken up again" in two.vps.log()


def test_that_a_members_going_was_not_written_down_is_said_in_a_line(mesh: Mesh) -> None:
    two = Scene.made(mesh)
    two.laptop.stop()
    two.laptop.launcher = HICCUP
    two.laptop.start()
    two.linked()
    two.vps.kill()
    said = "what is known of a member was not written down: the store failed: for once"
    processes.wait_until(lambda: said in two.laptop.log(), 15, "it to be said")

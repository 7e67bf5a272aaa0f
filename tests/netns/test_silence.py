"""Links that are cut: noticed in time, silent or not; and what waited for them, once."""

from __future__ import annotations

import time

import pytest

from relay.testing.netns.brokers import InternetMesh
from relay.testing.netns.cuts import Cut
from relay.testing.netns.watching import linked_after, unlinked_after
from tests.netns.scene import Task, pair

BUSY_WITHIN = 10.0
IDLE_WITHIN = 60.0
# a dial that met the cut is given up after 10 s, and the backoff by then is at most half of that
BACK_WITHIN = 20.0


@pytest.mark.parametrize("how", Cut)
def test_a_cut_in_the_middle_of_a_spawn(mesh: InternetMesh, how: Cut) -> None:
    """The target has a result and nobody takes it: it notices; healed, the origin gets it, once."""
    mesh.internet.site("vps")
    mesh.internet.site("laptop")
    vps, laptop = pair(mesh, "vps", "laptop")
    task = Task.asked(laptop, vps, gated=True)
    task.until("running")
    mesh.internet.cut("vps", "laptop", how)
    task.open()
    task.until("completed", on=vps)
    found = unlinked_after(vps, laptop, BUSY_WITHIN)
    assert task.shown()["state"] == "running"
    mesh.internet.heal("vps", "laptop")
    back = linked_after(vps, laptop, BACK_WITHIN)
    task.ended_once()
    print(f"\n{how.value} cut: noticed after {found:.1f} s, linked {back:.1f} s after it was healed")


@pytest.mark.timeout(120)
def test_a_request_into_silence(mesh: InternetMesh) -> None:
    """The origin asks for something over a link that is dead: noticed, told as queued, done once it is healed."""
    mesh.internet.site("vps")
    mesh.internet.site("laptop", behind_nat=True)
    vps, laptop = pair(mesh, "vps", "laptop")
    mesh.internet.cut("vps", "laptop")
    task = Task.asked(vps, laptop)
    found = unlinked_after(vps, laptop, BUSY_WITHIN)
    assert task.shown()["state"] == "queued"
    mesh.internet.heal("vps", "laptop")
    # nothing tells the laptop that its link is dead: the answer to a packet of it is a reset, or its own next ping
    task.ended_once(within=IDLE_WITHIN)
    print(f"\nsilent cut: noticed after {found:.1f} s")


@pytest.mark.chaos
@pytest.mark.timeout(180)
def test_a_cut_of_an_idle_link(mesh: InternetMesh) -> None:
    """Nothing is unanswered: both ends notice within a minute."""
    mesh.internet.site("vps")
    mesh.internet.site("laptop")
    vps, laptop = pair(mesh, "vps", "laptop")
    Task.asked(laptop, vps).ended_once()
    mesh.internet.cut("vps", "laptop")
    began = time.monotonic()
    first = unlinked_after(vps, laptop, IDLE_WITHIN)
    unlinked_after(laptop, vps, IDLE_WITHIN - first)
    print(f"\nidle cut: noticed after {first:.1f} s and {time.monotonic() - began:.1f} s")
    mesh.internet.heal("vps", "laptop")
    back = linked_after(vps, laptop, 45)
    print(f"linked {back:.1f} s after it was healed")

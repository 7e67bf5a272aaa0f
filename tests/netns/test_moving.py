"""A laptop that changes networks: its address is gone, it has another, and its links are back."""

from __future__ import annotations

import time

import pytest

from relay.testing.netns.brokers import InternetMesh
from relay.testing.netns.watching import seconds_until
from relay.testing.node import Node
from tests.netns.scene import Task, pair

BACK_WITHIN = 5.0
FOUND_WITHIN = 10.0  # a change that follows another one at once is acted on up to 5 s later
# a broker that is told of changes all the time acts on them once in 5 s
APART_S = 6.0


def _work_goes_on(vps: Node, laptop: Node) -> float:
    """Seconds until something new went to the laptop and its end came back."""
    task = Task.asked(vps, laptop)
    took = seconds_until(lambda: task.shown()["state"] == "completed", 40, "work to go on after a move")
    task.ended_once()
    return took


def _moved(mesh: InternetMesh, behind_nat: bool, times: int) -> list[float]:
    mesh.internet.site("vps")
    mesh.internet.site("laptop", behind_nat=behind_nat)
    vps, laptop = pair(mesh, "vps", "laptop")
    through = Task.asked(vps, laptop, gated=True)
    through.until("running")
    found = []
    try:
        for number in range(times):
            time.sleep(APART_S if number else 0)
            mesh.internet.move("laptop")
            found.append(_work_goes_on(vps, laptop))
    finally:
        through.open()
    through.ended_once()
    where = "behind NAT" if behind_nat else "public"
    print(f"\nmoved, {where}: work went on after {', '.join(f'{each:.2f}' for each in found)} s")
    return found


@pytest.mark.parametrize("behind_nat", [False, True], ids=["public", "nat"])
def test_a_new_address(mesh: InternetMesh, behind_nat: bool) -> None:
    """The old address is gone at once, nobody says goodbye; what runs goes on, and what is new gets there.

    One move among other tests is no measure of how soon: it has the time in which a dead link is found.
    """
    assert max(_moved(mesh, behind_nat, 1)) < FOUND_WITHIN


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("behind_nat", [False, True], ids=["public", "nat"])
def test_many_new_addresses(mesh: InternetMesh, behind_nat: bool) -> None:
    """Twelve moves in a row, some while the link is young."""
    assert max(_moved(mesh, behind_nat, 12)) < BACK_WITHIN

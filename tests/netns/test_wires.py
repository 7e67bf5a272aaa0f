"""Direct links over wires that are slow, lossy, thin or behind NAT."""

from __future__ import annotations

import random
import time

import pytest

from relay.testing import tickets
from relay.testing.netns.brokers import InternetMesh
from relay.testing.netns.watching import is_linked
from relay.testing.netns.wires import Quality
from relay.testing.node import Node
from relay.testing.trial import Trial
from tests.netns.scene import Task, pair

# half of a round trip of 200 ms and 5 % of all packets lost
FAR = Quality(delay_ms=100, loss=0.05)


def _tried(mesh: InternetMesh, nodes: tuple[Node, Node], count: int) -> str:
    trial = Trial(mesh, nodes, mesh.internet.seed)
    trial.tickets = tickets.draw(random.Random(mesh.internet.seed), count, nodes)
    began = time.monotonic()
    for ticket in trial.tickets:
        trial.submit(ticket)
    trial.settle(within=60)
    took = time.monotonic() - began
    trial.judge()
    trial.close()
    summary = f"seed {mesh.internet.seed}: {count} tasks {dict(trial.states)} in {took:.1f} s"
    assert not trial.violations, "\n".join([summary, *trial.violations])
    return summary


def test_far_and_lossy(mesh: InternetMesh) -> None:
    """200 ms and 5 % loss: what was accepted ends, and was started once."""
    mesh.internet.site("vps")
    mesh.internet.site("laptop", quality=FAR)
    _tried(mesh, pair(mesh, "vps", "laptop"), 24)


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_far_and_lossy_for_long(mesh: InternetMesh) -> None:
    """The same with 400 tasks and a tenth of all packets lost."""
    mesh.internet.site("vps")
    mesh.internet.site("laptop", quality=Quality(delay_ms=100, loss=0.1))
    print(f"\nlossy: {_tried(mesh, pair(mesh, 'vps', 'laptop'), 400)}")


def test_behind_nat_is_reached_over_its_own_dial(mesh: InternetMesh) -> None:
    """Nobody can dial the laptop; it dialled, and one link serves both ways."""
    mesh.internet.site("vps")
    mesh.internet.site("laptop", behind_nat=True)
    vps, laptop = pair(mesh, "vps", "laptop")
    Task.asked(vps, laptop).ended_once()
    Task.asked(laptop, vps).ended_once()
    vps.restart()
    Task.asked(vps, laptop).ended_once()
    assert is_linked(vps, laptop) and is_linked(laptop, vps)


@pytest.mark.chaos
def test_a_thin_wire_that_is_full_is_not_taken_for_dead(mesh: InternetMesh) -> None:
    """1 Mbit/s and 1.6 MB of envelopes: an answer that waits behind them is no silence, and the link stays."""
    mesh.internet.site("vps")
    mesh.internet.site("laptop", quality=Quality(delay_ms=20, rate_mbit=1))
    vps, laptop = pair(mesh, "vps", "laptop")
    began = time.monotonic()
    word = "x" * 100_000
    with laptop.control() as control:
        spawns = [control.spawn("/bin/true", word, broker="vps", cwd=str(vps.work))["id"] for _ in range(8)]
        states = [control.wait(spawn)["state"] for spawn in spawns]
    assert states == ["completed"] * len(spawns)
    assert time.monotonic() - began > 8, "the wire was not thin"
    assert "ended: no answer" not in laptop.log() + vps.log()

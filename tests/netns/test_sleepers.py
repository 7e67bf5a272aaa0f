"""Machines that sleep (SIGSTOP): what waited for them is delivered soon after they wake."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from relay.testing import processes
from relay.testing.netns.brokers import InternetMesh
from relay.testing.netns.watching import percentile
from relay.testing.netns.wires import Quality
from relay.testing.node import Node
from tests.netns.scene import Task

SLEEPERS = 5
AWAKE_WITHIN = 5.0
GIVEN_UP = 60.0


def _sleepers(mesh: InternetMesh, quality: Quality | None) -> tuple[Node, list[Node]]:
    """One broker that stays awake, and five that linked to it; every second one is behind NAT."""
    names = [f"laptop{number}" for number in range(SLEEPERS)]
    mesh.internet.site("vps")
    for number, name in enumerate(names):
        mesh.internet.site(name, behind_nat=number % 2 == 1, quality=quality)
    vps = mesh.add("vps")
    with ThreadPoolExecutor(SLEEPERS) as pool:
        laptops = list(pool.map(lambda name: mesh.join(vps, name), names))
    for laptop in laptops:
        mesh.grant(on=laptop, to=vps)
    return vps, laptops


def _delivered(task: Task) -> bool:
    return bool(task.shown()["state"] != "queued")


def _wake(laptop: Node, task: Task) -> float:
    """Seconds from the wake until the sleeper has taken in what waited, by the word of the one who sent it."""
    assert not _delivered(task)
    began = time.monotonic()
    laptop.resume()
    processes.wait_until(lambda: _delivered(task), GIVEN_UP, f"{laptop.name} to take in what waited")
    return time.monotonic() - began


def _slept(vps: Node, laptops: list[Node], seconds: float) -> list[float]:
    """All sleep for so long, then wake one after another; what each needed to its first delivery."""
    for laptop in laptops:
        laptop.pause()
    tasks = [Task.asked(vps, laptop) for laptop in laptops]
    # how long it lasts is the experiment: what ends meanwhile at the other side depends on it
    time.sleep(seconds)
    found = [_wake(laptop, task) for laptop, task in zip(laptops, tasks, strict=True)]
    for task in tasks:
        task.ended_once()
    return found


def _summary(found: list[float]) -> str:
    return (
        f"wake to first delivery, {len(found)} wakes: p50 {percentile(found, 0.5):.2f} s, "
        f"p95 {percentile(found, 0.95):.2f} s, longest {max(found):.2f} s"
    )


@pytest.mark.timeout(120)
def test_five_wakes(mesh: InternetMesh) -> None:
    """20 s asleep: their links were found dead meanwhile."""
    vps, laptops = _sleepers(mesh, None)
    found = _slept(vps, laptops, 20)
    print(f"\n{_summary(found)}")
    assert percentile(found, 0.95) < AWAKE_WITHIN, sorted(found)


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_forty_wakes(mesh: InternetMesh) -> None:
    """5 to 80 s asleep, 200 ms and 5 % loss away."""
    chance = random.Random(mesh.internet.seed)
    vps, laptops = _sleepers(mesh, Quality(delay_ms=100, loss=0.05))
    found: list[float] = []
    for seconds in (5, 12, 20, 30, 45, 80, chance.uniform(5, 40), chance.uniform(5, 40)):
        found += _slept(vps, laptops, seconds)
        print(f"\n{seconds:.0f} s asleep: {[round(each, 2) for each in found[-SLEEPERS:]]}", end="")
    print(f"\nseed {mesh.internet.seed}: {_summary(found)}")
    assert percentile(found, 0.95) < AWAKE_WITHIN, sorted(found)

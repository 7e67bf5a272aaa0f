"""Calls while both brokers and the program are killed at random: each runs at most once, and each is answered."""

from __future__ import annotations

import random
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from relay.testing.processes import wait_until
from tests.e2e.scene import fresh
from tests.tools.conftest import Call, Ground, Served
from tests.tools.test_crashes import insist

KILLS, EACH = 12, 6
ENDS = {"completed", "lost"}


@pytest.mark.chaos
@pytest.mark.parametrize("seed", [1, 2])
def test_no_call_runs_twice_and_each_is_answered(ground: Ground, seed: int) -> None:
    draw, tool = random.Random(seed), fresh("tool")
    programs = [ground.serve(tool)]
    asked: list[Future[Call]] = []
    with ThreadPoolExecutor(KILLS * EACH) as pool:
        for _ in range(KILLS):
            asked += [pool.submit(insist, ground, tool, fresh(f"storm-{seed}")) for _ in range(EACH)]
            # the pause is the experiment: it decides what the kill falls into
            time.sleep(draw.uniform(0, 0.4))
            _kill_one(ground, draw, programs, tool)
        calls = [each.result() for each in asked]
    ends = Counter(_settled(ground, call["id"])["state"] for call in calls)
    runs = Counter(run for program in programs for run in program.lines("ran"))
    assert ends.keys() <= ENDS and ends["completed"], ends
    assert max(runs.values()) == 1 and not [each for program in programs for each in program.lines("twice")]
    completed = {call["id"] for call in calls if ground.ended(call["id"], 0)["state"] == "completed"}
    assert completed <= runs.keys()


def _kill_one(ground: Ground, draw: random.Random, programs: list[Served], tool: str) -> None:
    victim = draw.choice(["laptop", "vps", "vps", "both", "program"])
    if victim == "program":
        programs[-1].kill()
        programs.append(Served(ground.vps, (tool,), programs[-1].title, "library", "test", 16))
        ground.served.append(programs[-1])
    for name in ("laptop", "vps"):
        if victim in (name, "both"):
            ground.mesh.nodes[name].kill()
    for node in ground.mesh.nodes.values():
        if not node.running:
            node.start()


def _settled(ground: Ground, call: str) -> Call:
    def found() -> Call | None:
        known = ground.ended(call, 5)
        return known if known["ended"] else None

    return wait_until(found, 60, f"{call} to have ended") or {}

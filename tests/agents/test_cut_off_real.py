"""The real claude and codex are cut off in the middle: by a person, and by their timeout."""

from __future__ import annotations

import pytest

from tests.agents.bench import WITHIN, Bench
from tests.agents.stub import Slow
from tests.e2e.scene import gone_within, relay, relay_json

pytestmark = [pytest.mark.agents, pytest.mark.timeout(180), pytest.mark.parametrize("agent", ["claude", "codex"])]


def test_killed_midway(bench: Bench, agent: str) -> None:
    bench.stub.plays(Slow())
    spawn = bench.begin(agent, "x")
    bench.stub.await_requests(1, WITHIN)
    relay(bench.scene.laptop, "stop", spawn)
    assert bench.scene.until(spawn, "cancelled", within=WITHIN)["state"] == "cancelled"
    gone_within(spawn)


def test_a_model_that_never_answers_ends_with_the_timeout(bench: Bench, agent: str) -> None:
    bench.stub.plays(Slow())
    words = bench.scene.words(agent, "x")
    words[words.index("--timeout") + 1] = "8s"
    found = relay_json(bench.scene.laptop, *words, "--wait", status=124)
    assert (found["state"], found["error"]["code"]) == ("timed_out", "task_timed_out")
    gone_within(found["id"])

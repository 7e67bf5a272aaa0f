"""The real aider and llm, and Groq's models by llm, on a broker against a stub; `make test-agents ALL=1`."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.testing import command
from tests.agents.bench import WITHIN, Bench, bench_on, made, programs
from tests.agents.speech import Text
from tests.agents.stub import Failure, Slow
from tests.e2e.scene import Scene, gone_within, relay, relay_json
from tests.trees.ground import git, repository

PATH = os.pathsep.join(programs())
MODEL = {"aider": ("--model", "openai/stub-1"), "llm": ("--model", "stub-1"), "groq": ()}
EACH = pytest.mark.parametrize("agent", MODEL)
pytestmark = [
    pytest.mark.agents,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not all(shutil.which(each, path=PATH) for each in ("aider", "llm")), reason="ALL=1"),
]


@pytest.fixture(scope="module")
def pythons() -> Iterator[Scene]:
    """A pair whose brokers find both."""
    with made("aider", "llm") as scene:
        scene.grant("--agent", "aider", "--agent", "llm", "--agent", "groq", "--mode", "full", "--dir", "new")
        yield scene


@pytest.fixture
def bench(pythons: Scene) -> Iterator[Bench]:
    """The pair and a fresh stub."""
    with bench_on(pythons) as made_bench:
        yield made_bench


def words(agent: str, task: str, *options: str, timeout: str = "80s") -> list[str]:
    """The command line of a run, in a directory of its own: aider leaves its session where it ran."""
    where = ("--broker", "vps", "--cwd", "new", "--timeout", timeout)
    return ["spawn", "-", agent, task, *where, *MODEL[agent], *options]


def test_what_aider_wrote_comes_back_as_a_branch(bench: Bench, tmp_path: Path) -> None:
    bench.stub.plays(Text("hello.txt\n```\nhello\n```\n"))
    there = repository(tmp_path / "project")
    options = ["--broker", "vps", "--here", "--mode", "edit", *MODEL["aider"], "--wait"]
    said = ["--json", "spawn", "-", "aider", "Write hello.txt", *options]
    ran = command.run(said, bench.scene.laptop.environment(), there, typed=None, timeout=120)
    found = json.loads(ran.stdout)
    assert found["state"] == "completed", (found, ran.stderr)
    branch = found["result"]["branch"]
    assert not (there / "hello.txt").exists()
    pulled = command.run(["pull", found["id"]], bench.scene.laptop.environment(), there, typed=None, timeout=60)
    assert pulled.returncode == 0, pulled.stderr
    assert git(there, "show", f"{branch}:hello.txt") == "hello"
    assert "Write hello.txt" in bench.stub.requests[0].text


@pytest.mark.parametrize("agent", ["llm", "groq"])
def test_its_answer_is_the_result(bench: Bench, agent: str) -> None:
    bench.stub.plays(Text("An answer."))
    found = bench.waited(*words(agent, "Say it", "--wait"))
    assert (found["state"], found["result"]["summary"]) == ("completed", "An answer."), found
    asked = bench.stub.requests[0]
    assert "Say it" in asked.text and asked.body["model"] == ("stub-1" if agent == "llm" else "llama-3.3-70b-versatile")


@EACH
def test_a_refused_key(bench: Bench, agent: str) -> None:
    bench.stub.plays(Failure(401, "Incorrect API key provided"))
    found = bench.waited(*words(agent, "x", "--wait"))
    assert (found["state"], found["error"]["code"]) == ("failed", "agent_no_login"), found


@EACH
def test_busy_and_then_a_success(bench: Bench, agent: str) -> None:
    bench.stub.plays(Failure(429, "slow down"), Text("At last."))
    found = bench.waited(*words(agent, "x", "--wait"), status=0)
    assert found["state"] == "completed" and "At last." in found["result"]["output_tail"], found
    assert len(bench.stub.requests) == 2


@EACH
def test_killed_midway(bench: Bench, agent: str) -> None:
    bench.stub.plays(Slow())
    spawn = relay_json(bench.scene.laptop, *words(agent, "x"))["id"]
    bench.stub.await_requests(1, WITHIN)
    relay(bench.scene.laptop, "stop", spawn)
    assert bench.scene.until(spawn, "cancelled", within=WITHIN)["state"] == "cancelled"
    gone_within(spawn)


@EACH
def test_a_model_that_never_answers_ends_with_the_timeout(bench: Bench, agent: str) -> None:
    bench.stub.plays(Slow())
    found = bench.waited(*words(agent, "x", "--wait", timeout="12s"), status=124)
    assert (found["state"], found["error"]["code"]) == ("timed_out", "task_timed_out")
    gone_within(found["id"])


@EACH
def test_a_model_that_is_not_there(bench: Bench, agent: str) -> None:
    bench.stub.close()
    found = bench.waited(*words(agent, "x", "--wait", timeout="20s"))
    assert found["state"] in ("failed", "timed_out") and found["error"]["code"] != "agent_no_login", found


@EACH
def test_a_limit_of_turns_is_refused_at_once(bench: Bench, agent: str) -> None:
    """None of them can be held to one: that is said before anything is asked of a model."""
    found = bench.waited(*words(agent, "x", "--max-turns", "2", "--wait"), status=125)
    assert (found["state"], found["error"]["code"]) == ("rejected", "agent_cannot") and not bench.stub.requests

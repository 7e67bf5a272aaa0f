"""The real gemini and opencode on a broker, against a stub of their models; `make test-agents ALL=1`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.agents.bench import WITHIN, Bench, bench_on, made, programs
from tests.agents.speech import Text, Tool
from tests.agents.stub import Failure, Slow
from tests.e2e.scene import Scene, gone_within, relay, relay_json

PATH = os.pathsep.join(programs())
BOTH = ("gemini", "opencode")
# without a model gemini asks another one first, which to take
MODEL = {"gemini": ("--model", "gemini-2.5-flash"), "opencode": ()}
pytestmark = [
    pytest.mark.agents,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not all(shutil.which(each, path=PATH) for each in BOTH), reason="make test-agents ALL=1"),
]


@pytest.fixture(scope="module")
def others() -> Iterator[Scene]:
    """A pair whose brokers find both."""
    with made(*BOTH) as scene:
        yield scene


@pytest.fixture
def bench(others: Scene) -> Iterator[Bench]:
    """The pair, its files cleared away, and a fresh stub."""
    for left in others.vps.work.iterdir():
        left.unlink()
    with bench_on(others) as made_bench:
        yield made_bench


def write(agent: str, bench: Bench) -> Tool:
    """The call that writes a file in the work directory."""
    path = str(bench.scene.vps.work / "hello.txt")
    if agent == "gemini":
        return Tool("write_file", {"file_path": path, "content": "hello\n"})
    return Tool("write", {"filePath": path, "content": "hello\n"})


@pytest.mark.parametrize("agent", BOTH)
def test_success_is_a_file_that_was_really_written(bench: Bench, agent: str) -> None:
    bench.stub.needs_tools = True
    bench.stub.plays(write(agent, bench), Text("I wrote it."))
    found = bench.run(agent, "Write hello.txt", "--mode", "full", *MODEL[agent])
    assert found["state"] == "completed", (found["error"], found["result"]["output_tail"][-2000:])
    assert (bench.scene.vps.work / "hello.txt").read_text() == "hello\n"
    assert found["result"]["summary"] == "I wrote it." and found["result"]["session"]
    gone_within(found["id"])


@pytest.mark.parametrize("agent", BOTH)
def test_a_refused_key(bench: Bench, agent: str) -> None:
    bench.stub.plays(Failure(401, "API key not valid"))
    found = bench.run(agent, "x", status=1 if agent == "opencode" else None)
    assert (found["state"], found["error"]["code"]) == ("failed", "agent_no_login"), found["error"]


@pytest.mark.parametrize("agent", BOTH)
def test_a_denied_tool_is_no_success(bench: Bench, agent: str) -> None:
    bench.stub.needs_tools = True
    bench.stub.plays(write(agent, bench), Text("So be it."))
    found = bench.run(agent, "Write hello.txt", "--mode", "plan", *MODEL[agent])
    assert found["state"] == "failed", found["result"]["output_tail"][-2000:]
    assert not (bench.scene.vps.work / "hello.txt").exists()


@pytest.mark.parametrize("agent", BOTH)
def test_a_model_that_never_answers_ends_with_the_timeout(bench: Bench, agent: str) -> None:
    bench.stub.plays(Slow())
    words = bench.scene.words(agent, "x")
    words[words.index("--timeout") + 1] = "12s"
    found = relay_json(bench.scene.laptop, *words, "--wait", status=124)
    assert (found["state"], found["error"]["code"]) == ("timed_out", "task_timed_out")
    gone_within(found["id"])


@pytest.mark.parametrize("agent", BOTH)
def test_a_model_that_is_not_there(bench: Bench, agent: str) -> None:
    bench.stub.close()
    words = bench.scene.words(agent, "x")
    words[words.index("--timeout") + 1] = "20s"
    done = relay(bench.scene.laptop, "--json", *words, "--wait", timeout=60)
    assert done.returncode != 0 and (b'"failed"' in done.stdout or b'"timed_out"' in done.stdout)


@pytest.mark.parametrize("agent", BOTH)
def test_busy_and_then_a_success(bench: Bench, agent: str) -> None:
    bench.stub.needs_tools = True
    bench.stub.plays(Failure(429, "slow down"), Text("At last."))
    found = bench.run(agent, "x", *MODEL[agent], status=0)
    assert (found["state"], found["result"]["summary"]) == ("completed", "At last."), found["error"]
    assert len(bench.stub.requests) == 2


@pytest.mark.parametrize("agent", BOTH)
def test_a_session_is_gone_on_with(bench: Bench, agent: str) -> None:
    bench.stub.needs_tools = True
    bench.stub.plays(Text("I remember it."))
    found = bench.run(agent, "The word is heron", *MODEL[agent], status=0)
    more = ("continue", found["id"], "Which word?")
    relay_json(bench.scene.laptop, *more)
    again = bench.scene.until(found["id"], "completed", "failed", within=WITHIN)
    assert (again["state"], again["attempt"]) == ("completed", 2), again["error"]
    assert again["result"]["session"] == found["result"]["session"]
    assert "The word is heron" in bench.stub.requests[-1].text and "Which word?" in bench.stub.requests[-1].text


@pytest.mark.parametrize("agent", BOTH)
def test_killed_midway(bench: Bench, agent: str) -> None:
    bench.stub.plays(Slow())
    spawn = bench.begin(agent, "x", *MODEL[agent])
    bench.stub.await_requests(1, WITHIN)
    relay(bench.scene.laptop, "stop", spawn)
    assert bench.scene.until(spawn, "cancelled", within=WITHIN)["state"] == "cancelled"
    gone_within(spawn)


@pytest.mark.parametrize("agent", BOTH)
def test_a_limit_of_turns_is_refused_at_once(bench: Bench, agent: str) -> None:
    """Neither can be held to one: that is said before anything is asked of a model."""
    found = bench.run(agent, "x", "--max-turns", "2", *MODEL[agent], status=125)
    assert (found["state"], found["error"]["code"]) == ("rejected", "agent_cannot") and not bench.stub.requests

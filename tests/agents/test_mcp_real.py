"""The real claude and codex, with `relay mcp` as `relay mcp install` sets it up, start an agent on another broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agents.bench import Bench
from tests.agents.speech import Text, Tool
from tests.e2e.scene import relay, relay_json

pytestmark = [pytest.mark.agents, pytest.mark.timeout(180)]
# what the server takes to start on a busy machine is no matter of these tests; claude gives it 5 s, and 30 s to connect
PATIENT = {"MCP_CONNECT_TIMEOUT_MS": "90000", "MCP_TIMEOUT": "90000"}
CALLS = {"claude": ("mcp__relay__agent_add", ""), "codex": ("agent_add", "mcp__relay")}


@pytest.fixture(params=CALLS)
def agent(bench: Bench, request: pytest.FixtureRequest) -> Iterator[str]:
    """Which of the two; vps has it with Relay's tools, and may run commands on laptop."""
    scene, name = bench.scene, str(request.param)
    bench.settle(**PATIENT)
    scene.mesh.grant(on=scene.laptop, to=scene.vps, words=("--agent", "shell", "--dir", "new"))
    done = relay(
        scene.vps, "mcp", "install", name, "--yes", HOME=str(bench.home), CODEX_HOME=str(bench.home / ".codex")
    )
    assert done.returncode == 0, done.stderr
    yield name
    relay(scene.laptop, "trust", "revoke", "vps")


def offered(body: dict[str, Any], name: str, namespace: str) -> list[str]:
    """The tools of Relay that a request brings."""
    tools = body["tools"]
    if namespace:
        tools = [each for kept in tools if kept.get("name") == namespace for each in kept["tools"]]
    return [each["name"] for each in tools if each["name"].startswith(name.removesuffix("agent_add"))]


def test_its_tools_are_listed_and_an_agent_that_it_adds_runs_on_the_other_broker(bench: Bench, agent: str) -> None:
    """laptop asks vps for an agent, and that one asks laptop for another: its end and words come back to the model."""
    name, namespace = CALLS[agent]
    task = {"name": "-", "cli": "shell", "task": "pwd > here; echo proven"}
    where = {"broker": "laptop", "cwd": "new", "wait": 40}
    bench.stub.plays(Tool(name, task | where, namespace), Text("It ran there."))
    found = bench.run(agent, "Prove it", "--mode", "full")
    assert (found["state"], found["result"]["summary"]) == ("completed", "It ran there."), found
    listed = offered(bench.stub.requests[0].body, name, namespace)
    assert {each.rpartition("__")[2] for each in listed} >= {"agent_add", "agent_wait", "broker_list"}, listed
    told = bench.stub.requests[1].text
    assert "proven" in told and "on laptop finished" in told, told[-3000:]
    spawns = relay_json(bench.scene.laptop, "ps", "--all")
    (ran,) = [each for each in spawns if each["id"] in told and each["agent"] == "shell"]
    assert (ran["state"], ran["broker"]["name"]) == ("completed", "laptop")
    assert Path(ran["cwd"], "here").read_text() == f"{ran['cwd']}\n"
    assert ran["requested_by"].endswith(f" by {found['name']}"), "as that task, not as a person"
    assert ran["chain"] == [bench.scene.laptop.id]

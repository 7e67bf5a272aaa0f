"""What changes under the real claude and codex while at work: a login that expires, a session that is removed."""

from __future__ import annotations

import pytest

from tests.agents.bench import Bench
from tests.agents.speech import Text, Tool
from tests.agents.stub import Failure
from tests.e2e.scene import gone_within, relay_json

pytestmark = [pytest.mark.agents, pytest.mark.timeout(180)]
AGENTS = [("claude", Tool("Bash", {"command": "true"})), ("codex", Tool("exec_command", {"cmd": "true"}))]
KEPT = {"claude": ".claude/projects/*/*.jsonl", "codex": ".codex/sessions/*/*/*/rollout-*.jsonl"}


@pytest.mark.parametrize(("agent", "tool"), AGENTS)
def test_a_login_that_expires_in_the_middle(bench: Bench, agent: str, tool: Tool) -> None:
    bench.stub.plays(Text("All is well."))
    first = bench.run(agent, "x", "--mode", "full", status=0)
    bench.stub.plays(tool, Failure(401, "authentication token has expired"))
    found = bench.waited("continue", first["id"], "go on", "--wait", status=1)
    assert (found["state"], found["error"]["code"]) == ("failed", "agent_no_login"), found["error"]
    assert "login" in found["error"]["hint"] and len(bench.stub.requests) >= 3, "it had begun"
    assert found["result"]["session"] == first["result"]["session"]
    gone_within(found["id"])
    bench.stub.plays(Text("Logged in again."))
    again = bench.waited("continue", first["id"], "and now?", "--wait", status=0)
    assert again["result"]["summary"] == "Logged in again." and "All is well." in bench.stub.requests[-1].text


@pytest.mark.parametrize("agent", KEPT)
def test_a_session_whose_file_is_gone_is_no_new_one(bench: Bench, agent: str) -> None:
    bench.stub.plays(Text("All is well."))
    first = bench.run(agent, "x", status=0)
    session = first["result"]["session"]
    for file in bench.home.glob(KEPT[agent]):
        if session in file.name:
            file.unlink()
    before = len(bench.stub.requests)
    found = bench.waited("continue", first["id"], "go on", "--wait", status=1)
    assert (found["state"], found["error"]["code"]) == ("failed", "agent_no_session"), found["error"]
    assert len(bench.stub.requests) == before, "no model was asked"
    assert relay_json(bench.scene.vps, "show", first["id"])["result"]["session"] in (session, None)

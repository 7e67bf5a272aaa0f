"""The real claude on a broker, against a stub of its model: how each way to end is told, and how it is answered."""

from __future__ import annotations

import json
import time

import pytest

from relay.testing.processes import wait_until
from tests.agents.bench import WITHIN, Bench, logged_in
from tests.agents.speech import Text, Tool
from tests.agents.stub import Drop, Failure
from tests.e2e.scene import gone_within, relay

pytestmark = [pytest.mark.agents, pytest.mark.timeout(180)]


def write(bench: Bench, name: str = "hello.txt") -> Tool:
    """The call that writes a file in the work directory."""
    return Tool("Write", {"file_path": str(bench.scene.vps.work / name), "content": "hello\n"})


def test_success_is_a_file_that_was_really_written(bench: Bench) -> None:
    bench.stub.plays(write(bench), Text("I wrote it."))
    found = bench.run("claude", "Write hello.txt", status=0)
    assert (found["state"], found["result"]["summary"]) == ("completed", "I wrote it.")
    assert (bench.scene.vps.work / "hello.txt").read_text() == "hello\n"
    assert found["result"]["usage"]["turns"] == 2 and found["result"]["session"] and found["result"]["model"]
    assert "Write hello.txt" in bench.stub.requests[0].text
    gone_within(found["id"])


def test_a_refused_key(bench: Bench) -> None:
    bench.stub.plays(Failure(401, "invalid x-api-key"))
    found = bench.run("claude", "x", status=1)
    assert (found["state"], found["error"]["code"]) == ("failed", "agent_no_login")
    assert "claude auth login" in found["error"]["hint"] and "401" in found["error"]["message"]


def test_no_login_at_all(bench: Bench) -> None:
    bench.settle(ANTHROPIC_API_KEY="")
    assert logged_in(bench, "claude") is False
    found = bench.run("claude", "x", status=125)
    assert (found["state"], found["error"]["code"]) == ("rejected", "agent_no_login")
    assert "claude auth login" in found["error"]["hint"] and bench.stub.requests == []
    told = bench.run("claude", "x", "--dry-run", status=125)
    assert (told["verdict"], told["error"]) == ("refuse", found["error"])


def test_a_login_made_a_moment_ago_counts(bench: Bench) -> None:
    bench.settle(ANTHROPIC_API_KEY="")
    assert logged_in(bench, "claude") is False
    kept = bench.home / ".claude" / ".credentials.json"
    tokens = {"accessToken": "sk-ant-oat01-of-nobody", "refreshToken": "sk-ant-ort01-of-nobody"}
    login = tokens | {"expiresAt": int(time.time() + 36_000) * 1000, "scopes": ["user:inference"]}
    kept.write_text(json.dumps({"claudeAiOauth": login}))
    try:
        assert bench.run("claude", "x", status=0)["state"] == "completed"
    finally:
        kept.unlink()


def test_busy_and_then_a_success(bench: Bench) -> None:
    bench.stub.plays(Failure(429, "slow down"), Failure(429, "slow down"), Text("At last."))
    found = bench.run("claude", "x", status=0)
    assert (found["state"], found["result"]["summary"]) == ("completed", "At last.")
    waits = [each for each in bench.said(found["id"]) if each.startswith("waiting for the API, try ")]
    assert waits and all(each.endswith("429") for each in waits)


def test_busy_until_it_gives_up(bench: Bench) -> None:
    bench.settle(CLAUDE_CODE_MAX_RETRIES="1")
    bench.stub.plays(Failure(529, "overloaded"))
    found = bench.run("claude", "x", status=1)
    assert (found["state"], found["error"]["code"]) == ("failed", "agent_error")
    assert "529" in found["error"]["message"]


def test_the_usage_limit_of_a_subscription(bench: Bench) -> None:
    reset = int(time.time()) + 3600
    limited = {"anthropic-ratelimit-unified-status": "rejected", "anthropic-ratelimit-unified-reset": str(reset)}
    bench.settle(ANTHROPIC_API_KEY="", CLAUDE_CODE_OAUTH_TOKEN="sk-ant-oat01-of-nobody")
    bench.stub.plays(Failure(429, "limit", limited))
    found = bench.run("claude", "x", status=1)
    assert (found["state"], found["error"]["code"]) == ("failed", "agent_usage_limit")
    spawn = bench.begin("claude", "x", "--on-limit", "wait")
    wait_until(lambda: "usage limit" in str(bench.scene.show(spawn)["reason"]), WITHIN, "it to wait for the reset")
    waits = bench.scene.show(spawn)
    assert waits["state"] == "waiting" and waits["attempt"] == 1
    relay(bench.scene.laptop, "stop", spawn)
    assert bench.scene.until(spawn, "cancelled")["error"] is None


def test_after_the_reset_of_a_usage_limit_it_goes_on_in_its_session(bench: Bench) -> None:
    reset = {"anthropic-ratelimit-unified-status": "rejected"}
    reset["anthropic-ratelimit-unified-reset"] = str(int(time.time()) + 20)
    bench.settle(ANTHROPIC_API_KEY="", CLAUDE_CODE_OAUTH_TOKEN="sk-ant-oat01-of-nobody")
    bench.stub.plays(write(bench), Failure(429, "limit", reset), Text("At last."))
    spawn = bench.begin("claude", "Write hello.txt", "--on-limit", "wait")
    found = bench.scene.until(spawn, "completed", "failed", within=WITHIN)
    assert (found["state"], found["attempt"]) == ("completed", 2), found["error"]
    # by what is kept: on a slow machine the reset is near when it is told
    assert any("usage limit" in str(step["reason"]) for step in found["timeline"]), found["timeline"]
    assert found["result"]["summary"] == "At last."
    last = bench.stub.requests[-1].text
    assert "hello.txt" in last and "tool_result" in last and "The usage limit is lifted" in last


def test_its_limit_of_turns(bench: Bench) -> None:
    bench.stub.plays(Tool("Bash", {"command": "true"}))
    found = bench.run("claude", "x", "--max-turns", "2", "--mode", "full", status=1)
    assert (found["state"], found["error"]["code"]) == ("failed", "agent_max_turns")


def asked(bench: Bench, spawn: str) -> dict[str, object]:
    """What a spawn asks, as laptop knows it."""
    needs: dict[str, object] = bench.scene.until(spawn, "needs_input", "completed", "failed", within=WITHIN)["needs"]
    return needs


def test_a_permission_is_asked_with_its_input_and_given_from_the_other_broker(bench: Bench) -> None:
    bench.stub.plays(write(bench), Text("I wrote it."))
    spawn = bench.begin("claude", "Write it", "--mode", "plan")
    needs = asked(bench, spawn)
    assert (needs["kind"], needs["tool"]) == ("permission", "Write")
    assert needs["input"] == {"file_path": str(bench.scene.vps.work / "hello.txt"), "content": "hello\n"}
    relay(bench.scene.laptop, "approve", spawn)
    assert bench.scene.until(spawn, "completed", "failed", within=WITHIN)["state"] == "completed"
    assert (bench.scene.vps.work / "hello.txt").read_text() == "hello\n"


def test_an_input_that_is_too_long_to_be_shown_is_used_whole(bench: Bench) -> None:
    long = "x" * 200_000
    bench.stub.plays(
        Tool("Write", {"file_path": str(bench.scene.vps.work / "long.txt"), "content": long}), Text("Done.")
    )
    spawn = bench.begin("claude", "Write it", "--mode", "plan")
    assert "cut" in str(asked(bench, spawn)["input"])[:20]
    relay(bench.scene.laptop, "approve", spawn)
    assert bench.scene.until(spawn, "completed", "failed", within=WITHIN)["state"] == "completed"
    assert (bench.scene.vps.work / "long.txt").read_text() == long


def test_a_permission_that_is_denied_is_no_success(bench: Bench) -> None:
    bench.stub.plays(write(bench), Text("So be it."))
    spawn = bench.begin("claude", "Write it", "--mode", "plan")
    asked(bench, spawn)
    relay(bench.scene.laptop, "deny", spawn)
    found = bench.scene.until(spawn, "completed", "failed", within=WITHIN)
    assert (found["state"], found["error"]["code"]) == ("failed", "agent_denied")
    assert not (bench.scene.vps.work / "hello.txt").exists()


def test_a_question_is_answered_from_the_other_broker_while_its_own_was_away(bench: Bench) -> None:
    """The broker is killed while claude waits: the conversation is the conductor's, and goes on."""
    options = [{"label": "red", "description": "r"}, {"label": "blue", "description": "b"}]
    question = {"question": "Which colour?", "header": "Colour", "multiSelect": False, "options": options}
    bench.stub.plays(Tool("AskUserQuestion", {"questions": [question]}), Text("Blue it is."))
    spawn = bench.begin("claude", "Paint it")
    needs = asked(bench, spawn)
    assert (needs["kind"], needs["text"]) == ("question", "Which colour? (red, blue)")
    bench.scene.vps.restart()
    bench.scene.linked()
    relay(bench.scene.laptop, "send", spawn, "blue")
    found = bench.scene.until(spawn, "completed", "failed", within=WITHIN)
    assert (found["state"], found["result"]["summary"]) == ("completed", "Blue it is.")
    told = bench.stub.requests[-1].body["messages"][-1]["content"][0]["content"]
    assert '"Which colour?"="blue"' in str(told)


def test_a_model_that_is_not_there(bench: Bench) -> None:
    bench.settle(CLAUDE_CODE_MAX_RETRIES="1")
    bench.stub.close()
    found = bench.run("claude", "x", status=1)
    assert (found["state"], found["error"]["code"]) == ("failed", "agent_error")
    assert "Unable to connect" in found["error"]["message"]


def test_an_answer_that_breaks_off_is_asked_for_again(bench: Bench) -> None:
    bench.stub.plays(Drop(), Text("Whole."))
    assert bench.run("claude", "x", status=0)["result"]["summary"] == "Whole."


def test_words_for_a_permission_are_what_to_do_instead(bench: Bench) -> None:
    bench.stub.plays(write(bench), Text("So be it."))
    spawn = bench.begin("claude", "Write it", "--mode", "plan")
    asked(bench, spawn)
    relay(bench.scene.laptop, "send", spawn, "Paint it instead")
    found = bench.scene.until(spawn, "completed", "failed", within=WITHIN)
    assert found["error"]["code"] == "agent_denied" and "Paint it instead" in bench.stub.requests[-1].text


def test_what_is_said_meanwhile_is_heard(bench: Bench) -> None:
    bench.stub.plays(Tool("Bash", {"command": "sleep 8"}), Text("First."), Text("Second."))
    spawn = bench.begin("claude", "Sleep", "--mode", "full")
    bench.stub.await_requests(1, WITHIN)
    wait_until(lambda: bench.scene.show(spawn)["state"] == "running", WITHIN, "it to run")
    relay(bench.scene.laptop, "send", spawn, "And then paint it")
    found = bench.scene.until(spawn, "completed", "failed", within=WITHIN)
    assert found["state"] == "completed", found["error"]
    assert "And then paint it" in bench.stub.requests[-1].text

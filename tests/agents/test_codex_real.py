"""The real codex on a broker, against a stub of its model: how each way to end is told, and how it is answered."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from relay.core.errors import Code
from relay.core.spawning import SpawnRequest
from relay.core.states import State
from relay.spawn.agents import conductor
from relay.spawn.agents.codex import Codex
from relay.testing.processes import wait_until
from tests.agents.bench import WITHIN, Bench, logged_in
from tests.agents.speech import Text, Tool
from tests.agents.stub import Drop, Failure, Stub
from tests.agents.test_resume_real import environment
from tests.e2e.scene import gone_within, relay, relay_json

pytestmark = [pytest.mark.agents, pytest.mark.timeout(180)]
WRITE = Tool("exec_command", {"cmd": "echo hello > hello.txt"})
BEYOND = {"sandbox_permissions": "require_escalated", "justification": "the file lies outside"}


def beyond(bench: Bench) -> Tool:
    """The call that wants out of the sandbox."""
    return Tool("exec_command", {"cmd": f"echo hello > {bench.home}/out.txt", **BEYOND})


def test_success_is_a_file_that_was_really_written(bench: Bench) -> None:
    bench.stub.plays(WRITE, Text("I wrote it."))
    found = bench.run("codex", "Write hello.txt", "--mode", "full", status=0)
    assert (found["state"], found["result"]["summary"]) == ("completed", "I wrote it.")
    assert (bench.scene.vps.work / "hello.txt").read_text() == "hello\n"
    assert found["result"]["usage"]["input_tokens"] == 24 and found["result"]["session"]
    assert found["result"]["model"] == "stub-1" and "Write hello.txt" in bench.stub.requests[0].text
    gone_within(found["id"])


def test_a_refused_key(bench: Bench) -> None:
    bench.stub.plays(Failure(401, "bad key"))
    found = bench.run("codex", "x", status=1)
    assert (found["state"], found["error"]["code"]) == ("failed", "agent_no_login")
    assert "codex login" in found["error"]["hint"]


def test_no_login_at_all(bench: Bench) -> None:
    (bench.home / ".codex" / "config.toml").unlink()
    bench.run("codex", "x")  # it was said to need none, and finds out
    wait_until(lambda: logged_in(bench, "codex") is False, WITHIN, "vps to see that nobody is logged in")
    found = bench.run("codex", "x", status=125)
    assert (found["state"], found["error"]["code"]) == ("rejected", "agent_no_login")
    assert "codex login" in found["error"]["hint"] and bench.stub.requests == []
    told = bench.run("codex", "x", "--dry-run", status=125)
    assert (told["verdict"], told["error"]) == ("refuse", found["error"])
    bench.settle_codex()  # a provider with a key of its own, a moment ago
    assert bench.run("codex", "x", status=0)["state"] == "completed"


def test_busy_is_an_error_that_another_attempt_mends(bench: Bench) -> None:
    """codex asks no second time after a 429."""
    bench.stub.plays(Failure(429, "slow down"), Text("At last."))
    found = bench.run("codex", "x", "--retries", "1", status=0)
    assert (found["state"], found["attempt"], found["result"]["summary"]) == ("completed", 2, "At last.")
    bench.stub.plays(Failure(429, "slow down"))
    found = bench.run("codex", "x", status=1)
    assert found["error"]["code"] == "agent_error" and "429" in found["error"]["message"]


def test_an_answer_that_breaks_off_is_asked_for_again(bench: Bench) -> None:
    bench.stub.plays(Drop(), Text("Whole."))
    found = bench.run("codex", "x", status=0)
    assert found["result"]["summary"] == "Whole."
    assert any(each.startswith("waiting for the API, try 1 of 3") for each in bench.said(found["id"]))


def asked(bench: Bench, spawn: str) -> dict[str, object]:
    """What a spawn asks, as laptop knows it."""
    needs: dict[str, object] = bench.scene.until(spawn, "needs_input", "completed", "failed", within=WITHIN)["needs"]
    return needs


def test_an_approval_is_asked_with_its_command_and_given_from_the_other_broker(bench: Bench) -> None:
    """The broker is killed while codex waits: the conversation is the conductor's, and goes on."""
    bench.stub.plays(beyond(bench), Text("Done."))
    spawn = bench.begin("codex", "Write it")
    needs = asked(bench, spawn)
    assert (needs["kind"], needs["tool"]) == ("permission", "command")
    assert "out.txt" in str(needs["input"]) and "the file lies outside" in str(needs["text"])
    bench.scene.vps.restart()
    bench.scene.linked()
    relay(bench.scene.laptop, "approve", spawn)
    found = bench.scene.until(spawn, "completed", "failed", within=WITHIN)
    assert found["state"] == "completed", found["error"]
    assert (bench.home / "out.txt").read_text() == "hello\n"
    (bench.home / "out.txt").unlink()


def test_an_approval_that_is_denied_is_no_success(bench: Bench) -> None:
    bench.stub.plays(beyond(bench), Text("So be it."))
    spawn = bench.begin("codex", "Write it")
    asked(bench, spawn)
    relay(bench.scene.laptop, "deny", spawn)
    found = bench.scene.until(spawn, "completed", "failed", within=WITHIN)
    assert (found["state"], found["error"]["code"]) == ("failed", "agent_denied")
    assert not (bench.home / "out.txt").exists()


def test_a_limit_of_turns_is_refused_at_once(bench: Bench) -> None:
    found = bench.run("codex", "x", "--max-turns", "2", status=125)
    assert (found["state"], found["error"]["code"]) == ("rejected", "agent_cannot")


def test_a_model_that_is_not_there(bench: Bench) -> None:
    """codex waits for a network for ever: the timeout ends it, and says what it waited for."""
    bench.stub.close()
    words = bench.scene.words("codex", "x")
    words[words.index("--timeout") + 1] = "12s"
    found = relay_json(bench.scene.laptop, *words, "--wait", status=124)
    assert (found["state"], found["error"]["code"]) == ("timed_out", "task_timed_out")
    assert "last: waiting for the API, try " in found["reason"] and "Connection failed" in found["reason"]


def test_a_model_that_is_not_there_and_nobody_set_a_timeout(tmp_path: Path) -> None:
    """The conductor gives up after so many tries; here after two of them."""
    (tmp_path / "home").mkdir()
    with Stub() as stub:
        env = environment(stub, tmp_path / "home")
    entry = Path(conductor.__file__).parent
    shutil.copytree(entry, tmp_path / "conductor")
    protocol = tmp_path / "conductor" / "codex.py"
    protocol.write_text(protocol.read_text().replace("MOST_UNREACHED = 6", "MOST_UNREACHED = 2"))
    request = SpawnRequest(id="abcdefghij234567", name="coder", agent="codex", task="x", created=1, expires=2)
    command = Codex().command(request, 1)
    argv = [*command.argv[:3], str(tmp_path / "conductor" / "serve.py"), "codex"]
    said = (command.stdin or "").encode()
    done = subprocess.run(argv, input=said, env=env, cwd=tmp_path, capture_output=True, timeout=60, check=False)
    reader = Codex().reader()
    reader.feed(0, done.stdout)
    found = reader.finding(done.returncode)
    assert (found.state, found.code) == (State.FAILED, Code.AGENT_ERROR) and "Connection failed" in found.why


def test_what_is_said_meanwhile_is_its_next_turn(bench: Bench) -> None:
    bench.stub.plays(Tool("exec_command", {"cmd": "sleep 8"}), Text("First."), Text("Second."))
    spawn = bench.begin("codex", "Sleep", "--mode", "full")
    bench.stub.await_requests(1, WITHIN)
    wait_until(lambda: bench.scene.show(spawn)["state"] == "running", WITHIN, "it to run")
    relay(bench.scene.laptop, "send", spawn, "And then paint it")
    found = bench.scene.until(spawn, "completed", "failed", within=WITHIN)
    assert (found["state"], found["result"]["summary"]) == ("completed", "Second."), found["error"]
    assert "And then paint it" in bench.stub.requests[-1].text and found["result"]["usage"]["turns"] == 2

"""The agent `claude` from end to end: a stand-in program of that name on the broker's PATH replays recorded streams."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.testing import processes
from tests.e2e.scene import Scene, fresh, gone_within, relay, relay_json
from tests.e2e.stand_ins import on_path, with_claude

STREAMS = Path(__file__).parent.parent / "spawn" / "streams"
# Takes its task by standard input, as the real one does: the stream to replay, the exit code, and what to do meanwhile.
CLAUDE = f"""#!/bin/sh
printf '%s\\n' "$@" > "$PWD/argv"
read -r line
set -- $(printf '%s' "$line" | sed 's/.*"content": "\\([^"]*\\)".*/\\1/')
stream=$1 code=$2 rest=$3
case $rest in
  slowly) trap 'echo interrupted >> "$PWD/signals"; exit 0' INT
          head -n 2 {STREAMS}/"$stream".jsonl; : > "$PWD/up"; while :; do sleep 0.05; done;;
  child) sleep 300 & ;;
esac
echo 'a warning' >&2
cat {STREAMS}/"$stream".jsonl
exit "$code"
"""


@pytest.fixture(scope="module")
def _with_claude() -> Iterator[Scene]:
    with with_claude(CLAUDE, "relay-e2e-") as scene:
        scene.grant("--agent", "claude", "--dir", "new")
        yield scene


@pytest.fixture
def scene(_with_claude: Scene) -> Scene:
    """A pair whose brokers find a program `claude`."""
    for left in ("argv", "up", "signals"):
        (_with_claude.vps.work / left).unlink(missing_ok=True)
    return _with_claude


@pytest.mark.parametrize(
    ("stream", "code", "state", "error", "status"),
    [
        ("success", 0, "completed", None, 0),
        ("garbage", 0, "completed", None, 0),
        ("api_error", 1, "failed", "agent_no_login", 1),
        ("denied", 0, "failed", "agent_denied", 1),
        ("max_turns", 1, "failed", "agent_max_turns", 1),
        ("no_result", 0, "failed", "agent_no_result", 1),
        ("success", 3, "failed", "exit_nonzero", 3),
    ],
)
def test_how_it_ends(scene: Scene, stream: str, code: int, state: str, error: str | None, status: int) -> None:
    found = relay_json(scene.laptop, *scene.words("claude", f"{stream} {code}"), "--wait", status=status)
    assert (found["state"], (found["error"] or {}).get("code")) == (state, error)
    assert found["exit_code"] == code
    if error is None:
        assert found["result"]["session"] and found["result"]["summary"]


def test_a_success_tells_summary_cost_and_session(scene: Scene) -> None:
    name = fresh("coder")
    words = scene.words("claude", "success 0", name=name, options=("--mode", "plan", "--model", "opus-4", "--wait"))
    done = relay(scene.laptop, *words)
    assert (done.returncode, done.stdout.decode()) == (0, "All tests pass: naïve café ✓\n")
    found = relay_json(scene.laptop, "show", name)
    usage = {"input_tokens": 1200, "output_tokens": 85, "cache_read_input_tokens": 900, "turns": 3, "cost_usd": 0.0123}
    assert found["result"]["usage"] == usage
    used = "2,100 tokens in (900 of them cached), 85 out, $0.01, 3 turns"
    assert used in relay(scene.laptop, "show", name).stdout.decode()
    assert used in relay(scene.laptop, "result", name).stderr.decode()
    argv = (scene.vps.work / "argv").read_text().split("\n")
    assert argv[argv.index("--permission-mode") + 1] == "plan" and argv[argv.index("--model") + 1] == "opus-4"
    assert "success 0" not in argv
    events = [json.loads(line) for line in relay(scene.vps, "events", "--json").stdout.splitlines()]
    told = [each["text"] for each in events if each["kind"] == "spawn.log" and each["spawn"] == found["id"]]
    assert told and all(isinstance(text, str) for text in told)


def test_a_model_cannot_become_an_option(scene: Scene) -> None:
    words = scene.words("claude", "success 0", options=("--model", "--dangerously-skip-permissions", "--wait"))
    found = relay_json(scene.laptop, *words, status=125)
    assert found["error"]["code"] == "bad_name" and not (scene.vps.work / "argv").exists()


def test_it_is_asked_to_stop_by_an_interrupt(scene: Scene) -> None:
    spawn = relay_json(scene.laptop, *scene.words("claude", "success 0 slowly"))["id"]
    processes.wait_until((scene.vps.work / "up").exists, 10, "the program to be up")
    relay(scene.laptop, "stop", spawn)
    ended = scene.until(spawn, "cancelled")
    assert ended["reason"] == "stopped by laptop"
    # it exits with 0 when interrupted, which is no success
    assert (scene.vps.work / "signals").read_text() == "interrupted\n"
    gone_within(spawn)


def test_what_it_leaves_running_is_ended(scene: Scene) -> None:
    found = relay_json(scene.laptop, *scene.words("claude", "success 0 child"), "--wait")
    assert found["state"] == "completed"
    gone_within(found["id"])


def test_it_finds_out_about_its_end_after_a_restart(scene: Scene) -> None:
    """The stream is read again from its front: what was said before the restart counts."""
    spawn = relay_json(scene.laptop, *scene.words("claude", "success 0 slowly"))["id"]
    processes.wait_until((scene.vps.work / "up").exists, 10, "the program to be up")
    with on_path(scene.mesh.folder / "programs"):
        scene.vps.restart()
    scene.linked()
    relay(scene.laptop, "stop", spawn)
    ended = scene.until(spawn, "cancelled")
    assert ended["result"]["session"] == "0f7a4c1e-54f8-5d0a-9a3e-1d4f1f5f0001"


def test_no_claude_on_that_machine(two: Scene) -> None:
    """Without the program it is a failure that says what is missing, where."""
    two.grant("--agent", "claude")
    if relay(two.vps, "doctor").stdout.find(b"not installed") < 0:
        pytest.skip("a claude is installed on this machine: uninstall it, or run the tests in a container")
    found = relay_json(two.laptop, *two.words("claude", "x"), "--wait", status=127)
    assert (found["state"], found["error"]["code"]) == ("failed", "missing_binary")

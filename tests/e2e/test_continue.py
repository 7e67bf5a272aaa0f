"""`relay continue`: after any end the agent goes on in its session and its place, told what to do now."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from relay.testing.processes import wait_until
from tests.e2e.scene import Scene, error_of, fresh, relay, relay_json
from tests.e2e.stand_ins import HEARS, on_path, with_claude

# its session is the one it is given; it remembers in its folder what it was told, as the real one does in its own
CLAUDE = (
    """#!/bin/sh
while [ $# -gt 0 ]; do
  case $1 in --session-id|--resume) how=$1; session=$2; shift;; esac
  shift
done
"""
    + HEARS
    + """printf '%s %s %s\\n' "$how" "$session" "$told" >> told
case $told in
  odd*) session=--dangerous;;
esac
echo '{"type":"system","subtype":"init","session_id":"'"$session"'"}'
case $told in
  wait*) : > up; exec sleep 60;;
  fail*) error=true; subtype=error_during_execution;;
  *) error=false; subtype=success;;
esac
said=$(tail -n 1 told)
echo '{"type":"result","subtype":"'$subtype'","is_error":'$error',"result":"'"$said"'","session_id":"'"$session"'"}'
"""
)


@pytest.fixture(scope="module")
def two() -> Iterator[Scene]:
    """A laptop and a vps that has a `claude`."""
    with with_claude(CLAUDE, "relay-e2e-") as scene:
        yield scene


@pytest.fixture(autouse=True)
def _granted(two: Scene) -> None:
    two.grant("--agent", "claude", "--agent", "shell", "--dir", "new", "--no-ask")


def _spawned(two: Scene, task: str, *options: str, agent: str = "claude", status: int | None = None) -> dict[str, Any]:
    words = ("spawn", fresh("go"), agent, task, "--broker", "vps", "--cwd", "new", *options)
    spawn: dict[str, Any] = relay_json(two.laptop, *words, status=status)
    return spawn


def _told(spawn: dict[str, Any]) -> list[list[str]]:
    """What the agent was told in that place: how it was started, in which session, and what to do."""
    with open(f"{spawn['cwd']}/told") as file:
        return [line.split(" ", 2) for line in file.read().splitlines()]


def test_it_goes_on_in_its_session_and_its_place(two: Scene) -> None:
    first = _spawned(two, "plan it", "--wait", status=0)
    session = first["result"]["session"]
    again = relay_json(two.laptop, "continue", first["id"], "now fix the tests", "--wait")
    assert (again["id"], again["attempt"], again["state"]) == (first["id"], 2, "completed")
    assert again["cwd"] == first["cwd"] and again["task"] == "now fix the tests"
    assert _told(again) == [["--session-id", session, "plan it"], ["--resume", session, "now fix the tests"]]
    assert again["result"]["session"] == session
    shown = relay_json(two.laptop, "show", first["id"])
    assert shown["attempts"][0]["task"] == "plan it" and shown["attempts"][0]["state"] == "completed"
    assert b"its task was: plan it" in relay(two.laptop, "show", first["id"]).stdout
    third = relay(two.laptop, "continue", first["name"], "-", "--follow", typed=b"and once more")
    assert third.returncode == 0 and b"and once more" in third.stdout and b"plan it" not in third.stdout, third
    relay_json(two.laptop, "retry", first["id"])
    _completed(two, first["id"], 4)
    assert _told(again)[-1] == ["--resume", session, "and once more"], "asked for once more, it is the same session"


def test_a_yes_to_going_on_is_for_one_run(two: Scene) -> None:
    """Word for word the same again is asked about again: what was approved is used up by the run that it was for."""
    two.grant("--agent", "claude", "--dir", "new", "--ask")
    spawn = _spawned(two, "more")["id"]
    for attempt, (told, before) in enumerate([("", ""), ("more", "before, and is asked for once more"), ("less", "")]):
        if told:
            relay_json(two.laptop, "continue", spawn, told)
        asked = two.until(spawn, "held")
        assert asked["attempt"] == attempt and before in asked["needs"]["text"]
        assert ("another request than this" in asked["needs"]["text"]) == (told == "less")
        relay_json(two.vps, "approve", spawn)
        _completed(two, spawn, attempt + 1)


def test_after_a_failure_a_stop_a_timeout_and_a_loss(two: Scene) -> None:
    failed = _spawned(two, "fail at once", "--wait", status=1)
    # long enough for the agent to say its session before its time is over
    stopped, late, lost = (_spawned(two, "wait", "--timeout", time) for time in ("60s", "4s", "60s"))
    for each in (stopped, lost):
        _up(two, each["id"])
    relay_json(two.laptop, "stop", stopped["id"])
    shim = next(each for each in two.vps.shims() if _owns(each, lost["id"]))
    os.kill(shim.pid, signal.SIGKILL)
    for each, state in ((failed, "failed"), (stopped, "cancelled"), (late, "timed_out"), (lost, "lost")):
        relay(two.laptop, "wait", each["id"], timeout=60)
        assert relay_json(two.laptop, "show", each["id"])["state"] == state
        again = relay_json(two.laptop, "continue", each["id"], "go on", "--wait")
        told = _told(again)
        assert again["state"] == "completed" and again["attempt"] == 2, state
        assert [line[0] for line in told] == ["--session-id", "--resume"] and told[0][1] == told[1][1], state


def _owns(shim: Any, spawn: str) -> bool:
    try:
        return any(spawn in file.path for file in shim.open_files())
    except psutil.NoSuchProcess:
        return False  # another one's, which has ended since it was found


def _up(two: Scene, spawn: str) -> None:
    def up() -> bool:
        shown = relay_json(two.laptop, "show", spawn)
        return bool(shown["cwd"]) and os.path.exists(f"{shown['cwd']}/up")

    wait_until(up, 20, "the agent at its work")


def test_what_has_no_session_or_has_not_ended_is_refused_and_nothing_is_changed(two: Scene) -> None:
    command = _spawned(two, "true", "--wait", agent="shell", status=0)
    odd = _spawned(two, "odd one", "--wait", status=0)
    runs = _spawned(two, "wait")
    _up(two, runs["id"])
    for node in (two.laptop, two.vps):
        for spawn, code in ((command, "no_session"), (odd, "no_session"), (runs, "not_ended")):
            refused = relay(node, "--json", "continue", spawn["id"], "go on")
            assert refused.returncode == 2 and error_of(refused)["code"] == code, refused
            assert relay_json(node, "show", spawn["id"])["task"] == spawn["task"]
    relay_json(two.laptop, "stop", runs["id"])
    empty = relay(two.laptop, "--json", "continue", odd["id"], " ")
    assert empty.returncode in (1, 2) and error_of(empty)["code"] == "bad_task"


def test_a_machine_that_is_away_gets_it_when_it_is_back(two: Scene) -> None:
    first = _spawned(two, "plan it", "--wait", status=0)
    two.vps.stop()
    wait_until(lambda: two.laptop.status()["links"] == 0, 20, "the end of the link")
    asked = relay_json(two.laptop, "continue", first["id"], "go on there")
    assert asked["steer"]["state"] == "asked"
    with on_path(two.vps.scratch / "programs"):
        two.vps.start()
    wait_until(lambda: relay_json(two.laptop, "show", first["id"])["attempt"] == 2, 30, "its second attempt")
    relay_json(two.laptop, "wait", first["id"])
    assert relay_json(two.laptop, "show", first["id"])["task"] == "go on there"
    assert _told(first)[-1][2] == "go on there"


def test_where_a_person_is_to_be_asked_the_new_text_is_held(two: Scene) -> None:
    two.grant("--agent", "claude", "--dir", "new", "--ask")
    first = _spawned(two, "plan it")
    _held(two, first["id"])
    relay(two.vps, "approve", first["id"])
    relay_json(two.laptop, "wait", first["id"])
    relay_json(two.laptop, "continue", first["id"], "something else")
    _held(two, first["id"])
    assert len(_told(relay_json(two.laptop, "show", first["id"]))) == 1
    assert "something else" in relay(two.vps, "review").stdout.decode()
    relay(two.vps, "approve", first["id"])
    _completed(two, first["id"], 2)
    assert _told(relay_json(two.laptop, "show", first["id"]))[-1][2] == "something else"


def _completed(two: Scene, spawn: str, attempt: int) -> None:
    """This attempt of it has ended as it should, as laptop has it: what it knew before was the end of another one."""

    def is_over() -> bool:
        shown = two.show(spawn)
        return (shown["attempt"], shown["state"]) == (attempt, "completed")

    wait_until(is_over, 30, f"the end of attempt {attempt}")


def _held(two: Scene, spawn: str) -> None:
    wait_until(lambda: relay_json(two.vps, "show", spawn)["state"] == "held", 20, "a question")

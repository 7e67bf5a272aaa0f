"""`relay attach --take`: the turn ends, the agent's own interface opens in its session, and it works alone again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from relay.testing import clocked
from relay.testing.processes import wait_until
from tests.e2e.scene import Scene, error_of, fresh, relay, relay_json
from tests.e2e.stand_ins import HEARS, on_path, with_claude
from tests.live.terminal import DETACH, terminal

# without -p it is its interface: it says in which session it is and repeats what is typed, until that is `quit`
CLAUDE = (
    """#!/bin/sh
headless=
while [ $# -gt 0 ]; do
  case $1 in -p) headless=yes;; --session-id|--resume) how=$1; session=$2; shift;; esac
  shift
done
if [ -z "$headless" ]; then
  stty -echo; echo "interface of $session in $PWD"; echo "interface" >> told
  while read -r line; do [ "$line" = quit ] && exit 0; echo "typed $line"; done
fi
"""
    + HEARS
    + """echo "$how $session $told" >> told
echo '{"type":"system","subtype":"init","session_id":"'"$session"'"}'
[ "$told" = wait ] && { : > up; exec sleep 60; }
[ "$told" = ask ] && {
  echo '{"type":"control_request","request_id":"r","request":{"subtype":"can_use_tool","tool_name":"Bash","input":{}}}'
  exec sleep 60
}
echo '{"type":"result","subtype":"success","is_error":false,"result":"did '"$told"'","session_id":"'"$session"'"}'
"""
)


@pytest.fixture(scope="module")
def two() -> Iterator[Scene]:
    """A laptop and a vps that has a `claude`."""
    with with_claude(CLAUDE, "relay-take-") as scene:
        yield scene


UNREACHABLE = 1
_GRANT = ("--agent", "claude", "--agent", "shell", "--dir", "new", "--verb", "attach")


@pytest.fixture(autouse=True)
def _granted(two: Scene) -> None:
    two.grant(*_GRANT, "--mode", "full")


def _spawned(two: Scene, task: str, agent: str = "claude") -> str:
    words = ("spawn", fresh("take"), agent, task, "--broker", "vps", "--cwd", "new", "--timeout", "120s")
    spawn: str = relay_json(two.laptop, *words)["id"]
    return spawn


def _shown(two: Scene, spawn: str) -> dict[str, Any]:
    shown: dict[str, Any] = relay_json(two.laptop, "show", spawn)
    return shown


def _told(two: Scene, spawn: str) -> list[str]:
    with open(f"{_shown(two, spawn)['cwd']}/told") as file:
        return file.read().splitlines()


def test_a_running_turn_is_taken_over_left_and_given_back(two: Scene) -> None:
    spawn = _spawned(two, "wait")
    wait_until(lambda: _shown(two, spawn)["cwd"] and os.path.exists(f"{_shown(two, spawn)['cwd']}/up"), 20, "its work")
    with terminal(two.laptop, "attach", spawn, "--take") as person:
        person.until(b"its turn is ended")
        person.until(f"in {_shown(two, spawn)['cwd']}".encode())
        person.type(b"hello\r")
        person.until(b"typed hello")
        person.type(DETACH)
        assert person.exit() == 130 and person.is_as_before
    shown = _shown(two, spawn)
    assert (shown["state"], shown["attempt"], shown["attempts"][0]["state"]) == ("running", 2, "cancelled")
    with terminal(two.laptop, "attach", spawn) as person:
        person.until(b"its terminal")
        person.type(b"again\r")
        person.until(b"typed again")
        person.type(b"quit\r")
        assert person.exit() == 1
    ended = _shown(two, spawn)
    assert ended["state"] == "failed" and ended["error"]["code"] == "agent_no_result" and ended["result"]["session"]
    assert "nobody said that its task is done" in ended["reason"], "its turn was ended, and to look at it is no success"
    alone = relay_json(two.laptop, "continue", spawn, "the rest", "--wait")
    session = alone["result"]["session"]
    assert alone["state"] == "completed" and alone["result"]["summary"] == "did the rest"
    assert _told(two, spawn) == [f"--session-id {session} wait", "interface", f"--resume {session} the rest"]


def test_what_has_ended_is_opened_and_a_broker_that_starts_anew_leaves_it_open(two: Scene) -> None:
    spawn = _spawned(two, "plan")
    relay_json(two.laptop, "wait", spawn)
    with terminal(two.vps, "attach", spawn, "--take") as person:
        person.until(b"interface of")
        with on_path(two.vps.scratch / "programs"):
            two.vps.restart()
        person.type(b"still\r")
        person.until(b"typed still")
        person.type(b"quit\r")
        assert person.exit() == 0
    assert relay_json(two.vps, "show", spawn)["state"] == "completed"
    again = relay_json(two.vps, "retry", spawn)
    relay_json(two.vps, "wait", again["id"])
    assert _told(two, spawn)[-1].endswith(" plan"), "asked for once more it works alone"


def test_what_cannot_be_taken_over_goes_on(two: Scene) -> None:
    spawn = _spawned(two, "sleep 60", agent="shell")
    wait_until(lambda: _shown(two, spawn)["state"] == "running", 20, "its start")
    with terminal(two.laptop, "attach", spawn, "--take") as person:
        person.until(b"cannot be taken over")
        assert person.exit() == 2
    assert _shown(two, spawn)["state"] == "running"
    refused = relay(two.laptop, "--json", "attach", spawn, "--take")
    assert refused.returncode == 2 and "no terminal" in error_of(refused)["message"]
    assert relay(two.laptop, "attach", spawn, "--take", "--view").returncode == 2
    assert _shown(two, spawn)["state"] == "running"
    relay_json(two.laptop, "stop", spawn)


def _at_work(two: Scene, *options: str) -> str:
    words = ("spawn", fresh("take"), "claude", "wait", "--broker", "vps", "--cwd", "new", "--timeout", "120s", *options)
    spawn: str = relay_json(two.laptop, *words)["id"]
    wait_until(lambda: _shown(two, spawn)["cwd"] and os.path.exists(f"{_shown(two, spawn)['cwd']}/up"), 20, "its work")
    return spawn


def test_who_may_not_let_an_agent_do_everything_types_nothing_into_it(two: Scene) -> None:
    """What is typed into it may be any command, and the yes to any question: the grant's mode would be none."""
    two.grant(*_GRANT, "--mode", "edit")
    spawn = _at_work(two)
    with terminal(two.laptop, "attach", spawn, "--take") as person:
        person.until(b"mode")
        assert person.exit() == 1
    assert _shown(two, spawn)["state"] == "running" and _shown(two, spawn)["attempt"] == 1
    with terminal(two.vps, "attach", spawn, "--take") as owner:
        owner.until(b"interface of")
        refused = relay(two.laptop, "--json", "attach", spawn)
        assert refused.returncode == 1 and error_of(refused)["code"] == "mode_beyond_grant", refused
        with terminal(two.laptop, "attach", spawn, "--view") as viewer:
            viewer.until(b"interface of")
            viewer.type(b"not mine\r")
            owner.type(b"mine\r")
            viewer.until(b"typed mine")
            owner.type(b"quit\r")
            assert owner.exit() == 1
    open_input = _at_work(two, "--stdin")
    refused = relay(two.laptop, "--json", "attach", open_input, typed=b'{"answer": "x", "verb": "approve"}\n')
    assert refused.returncode == 1 and error_of(refused)["code"] == "mode_beyond_grant", refused
    relay_json(two.laptop, "stop", open_input)


def test_what_is_sent_to_an_agent_in_its_interface_is_refused(two: Scene) -> None:
    spawn = _at_work(two, "--retries", "2")
    with terminal(two.vps, "attach", spawn, "--take") as owner:
        owner.until(b"interface of")
        refused = relay(two.laptop, "--json", "send", spawn, "hello")
        assert refused.returncode != 0 and "interface" in error_of(refused)["why"], refused
        owner.type(b"quit\r")
        assert owner.exit() == 1
    assert b"hello" not in relay(two.vps, "logs", spawn).stdout
    assert relay_json(two.vps, "show", spawn)["state"] == "failed", "what a person left is not opened again by itself"


def test_who_wants_it_too_attaches_and_ends_nobody_s_session(two: Scene) -> None:
    spawn = _at_work(two)
    with terminal(two.laptop, "attach", spawn, "--take") as first:
        first.until(b"interface of")
        with terminal(two.vps, "attach", spawn, "--take") as second:
            second.until(b"its terminal")
            assert b"its turn is ended" not in second.seen
            second.type(b"me too\r")
            second.until(b"typed me too")
            first.until(b"typed me too")
            second.type(DETACH)
            assert second.exit() == 130
        assert _shown(two, spawn)["attempt"] == 2
        first.type(b"quit\r")
        assert first.exit() == 1
    assert _shown(two, spawn)["attempt"] == 2


def test_what_nobody_waits_for_any_more_never_opens(two: Scene) -> None:
    spawn = _at_work(two)
    with two.vps.asleep(), terminal(two.laptop, "attach", spawn, "--take") as person:
        person.until(b"vps has not answered", within=25)
        assert person.exit() == UNREACHABLE and b"is yours" not in person.seen
    two.linked()
    shown = relay_json(two.laptop, "show", _awake(two, spawn))
    assert (shown["state"], shown["attempt"]) == ("running", 1)
    with on_path(two.vps.scratch / "programs"):
        two.vps.stop()
        wait_until(lambda: not _is_linked(two), 20, "the vps to be gone")
        with terminal(two.laptop, "attach", spawn, "--take") as person:
            person.until(b"vps cannot be reached now")
            assert person.exit() == UNREACHABLE and b"its turn is ended" not in person.seen
        two.vps.start()
    two.linked()
    assert _shown(two, _awake(two, spawn))["attempt"] == 1
    relay_json(two.laptop, "stop", spawn)


def _awake(two: Scene, spawn: str) -> str:
    """The same, once the vps has worked off all that came before."""
    two.until(_spawned(two, "plan"), "completed")
    return spawn


def _is_linked(two: Scene) -> bool:
    return bool(relay_json(two.laptop, "status")["links"])


def test_a_turn_that_waits_for_a_person_is_taken_over_without_its_question(two: Scene) -> None:
    words = ("spawn", fresh("take"), "claude", "ask", "--broker", "vps", "--cwd", "new", "--timeout", "60s")
    spawn = relay_json(two.laptop, *words)["id"]
    wait_until(lambda: _shown(two, spawn)["state"] == "needs_input", 20, "its question")
    with terminal(two.laptop, "attach", spawn, "--take") as person:
        said = person.until(b"interface of")
        assert b"needs you" not in said and relay_json(two.vps, "review")["questions"] == []
        person.type(b"quit\r")
        assert person.exit() == 1


def test_it_opens_where_the_clock_is_ahead_by_more_than_the_request_lives(two: Scene) -> None:
    spawn = _spawned(two, "plan")
    relay_json(two.laptop, "wait", spawn)
    launcher = two.vps.launcher
    two.vps.stop()
    two.vps.launcher = clocked.launcher(40)
    try:
        with on_path(two.vps.scratch / "programs"):
            two.vps.start()
        two.linked()
        with terminal(two.laptop, "attach", spawn, "--take") as person:
            person.until(b"interface of")
            person.type(b"quit\r")
            assert person.exit() == 0
    finally:
        two.vps.stop()
        two.vps.launcher = launcher
        with on_path(two.vps.scratch / "programs"):
            two.vps.start()
        two.linked()

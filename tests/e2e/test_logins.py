"""What nobody is logged in to is refused at its target at once, by a look that began after it was asked for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.testing.processes import wait_until
from tests.e2e.scene import Scene, fresh, relay, relay_json
from tests.e2e.stand_ins import on_path, with_claude

# it answers of its login once nobody keeps it from that, and says at its end whether it has one
CLAUDE = """#!/bin/sh
here=${0%/*}
case "$1 $2" in
  --version*) echo '2.1.197 (Claude Code)'; exit;;
  'auth status') while [ -e "$here/slow" ]; do sleep 0.05; done; cat "$here/login" || echo '{"loggedIn": true}'; exit;;
esac
echo run >> "$here/runs"
read -r line
case $(cat "$here/login") in
  *true*) echo '{"type":"result","subtype":"success","is_error":false,"result":"ok","session_id":"s"}';;
  *) echo '{"type":"result","subtype":"success","is_error":true,"result":"Not logged in · Please run /login"}'; exit 1;;
esac
"""
NO = ("rejected", "agent_no_login")


class Desk:
    """A laptop, a vps with a claude, and whether somebody is logged in to that."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.programs = scene.mesh.folder / "programs"

    def log_in(self, whether: bool) -> None:
        (self.programs / "login").write_text('{"loggedIn": true}' if whether else '{"loggedIn": false}')

    def runs(self) -> int:
        """How often its claude was given a task."""
        runs = self.programs / "runs"
        return len(runs.read_text().splitlines()) if runs.exists() else 0

    def seen(self) -> bool | None:
        """What the vps says of its login."""
        said = relay_json(self.scene.laptop, "agents", "--broker", "vps")[0]["agents"]
        found: bool | None = next(each["logged_in"] for each in said if each["name"] == "claude")
        return found

    def run(self, *options: str, cwd: Path | None = None, status: int | None = None) -> dict[str, Any]:
        """Have it do a task."""
        words = self.scene.words("claude", "x", name=fresh("login"), options=options, cwd=cwd)
        found: dict[str, Any] = relay_json(self.scene.laptop, *words, *options, status=status)
        return found

    def done(self, *options: str, cwd: Path | None = None) -> tuple[str, str | None]:
        """How a task of it ends: its state, and the code of its error."""
        found = self.run("--wait", *options, cwd=cwd)
        return found["state"], (found["error"] or {}).get("code")


@pytest.fixture(scope="module")
def made() -> Iterator[Desk]:
    """The two, with somebody logged in when the vps starts."""
    with with_claude(CLAUDE, "relay-logins-") as scene:
        yield Desk(scene)


@pytest.fixture
def desk(made: Desk) -> Desk:
    """The same, as each test begins: logged in, and known to be."""
    made.scene.grant("--agent", "claude", "--dir", "new", "--no-ask")
    (made.programs / "slow").unlink(missing_ok=True)
    made.log_in(True)
    wait_until(lambda: made.seen() is True, 15, "the vps to see the login")
    return made


def known_to_have_none(desk: Desk) -> None:
    """Nobody is logged in any more, and the vps has learnt it from a task."""
    desk.log_in(False)
    assert desk.done() == ("failed", "agent_no_login"), "it was logged in when this was asked for"
    wait_until(lambda: desk.seen() is False, 15, "the vps to see that nobody is logged in")


def test_without_a_login_it_is_refused_at_once_and_a_dry_run_says_the_same(desk: Desk) -> None:
    known_to_have_none(desk)
    runs = desk.runs()
    found = desk.run("--wait", status=125)
    assert (found["state"], found["error"]["code"]) == NO and found["attempt"] == 0 and desk.runs() == runs
    assert "claude auth login" in found["error"]["hint"] and "nobody is logged in to claude" in found["reason"]
    told = desk.run("--dry-run", status=125)
    assert (told["verdict"], told["error"]) == ("refuse", found["error"])


def test_a_login_made_a_moment_ago_is_seen(desk: Desk) -> None:
    known_to_have_none(desk)
    desk.log_in(True)
    assert desk.run("--dry-run", status=0)["verdict"] == "start"
    desk.log_in(False)
    wait_until(lambda: desk.done() == NO, 20, "what the first of them met to be looked at")
    desk.log_in(True)
    assert desk.done() == ("completed", None)


@pytest.mark.parametrize(("whether", "end"), [(False, NO), (True, ("completed", None))])
def test_who_comes_before_the_first_look_has_ended_waits_for_it(
    desk: Desk, whether: bool, end: tuple[str, str | None]
) -> None:
    desk.log_in(whether)
    runs = desk.runs()
    (desk.programs / "slow").touch()
    with on_path(desk.programs):
        desk.scene.vps.restart()
    desk.scene.linked()
    spawn = desk.run()["id"]
    assert "is looked up" in desk.scene.until(spawn, "waiting")["reason"]
    (desk.programs / "slow").unlink()
    ended = desk.scene.until(spawn, "rejected", "completed", "failed")
    assert (ended["state"], (ended["error"] or {}).get("code")) == end and desk.runs() == runs + whether


def test_who_is_logged_in_waits_for_no_look(desk: Desk) -> None:
    (desk.programs / "slow").touch()
    begun = time.monotonic()
    assert desk.done() == ("completed", None)
    (desk.programs / "slow").unlink()
    assert time.monotonic() - begun < 10, "a look takes 10 s to be given up"


def test_the_broker_goes_on_while_it_looks_and_many_wait_for_few_looks(desk: Desk) -> None:
    known_to_have_none(desk)
    (desk.programs / "slow").touch()
    waiting = [desk.run()["id"] for _ in range(4)]
    for each in waiting:
        assert "is looked up" in desk.scene.until(each, "waiting")["reason"]
    desk.scene.grant("--agent", "claude", "--agent", "shell")
    assert desk.scene.shell("true", status=0)["state"] == "completed"
    (desk.programs / "slow").unlink()
    for each in waiting:
        assert desk.scene.until(each, "rejected")["error"]["code"] == "agent_no_login"


def test_who_waits_for_a_look_keeps_no_other_task_of_its_origin_from_its_turn(desk: Desk) -> None:
    known_to_have_none(desk)
    (desk.programs / "slow").touch()
    vps = desk.scene.vps
    relay(vps, "queue", "pause")
    with vps.control() as control:
        asked = {"name": "-", "task": "true", "cwd": str(vps.work)}
        looked_up = control.post("spawns", asked | {"agent": "claude", "priority": 1})["id"]
        behind = control.post("spawns", asked | {"agent": "shell"})["id"]
    relay(vps, "queue", "resume")
    desk.scene.until(behind, "completed", on=vps)
    (desk.programs / "slow").unlink()
    assert desk.scene.until(looked_up, "rejected", on=vps)["error"]["code"] == "agent_no_login"


def test_what_its_directory_may_log_in_is_left_to_the_agent(desk: Desk) -> None:
    known_to_have_none(desk)
    settings = desk.scene.vps.work / ".claude" / "settings.json"
    settings.parent.mkdir()
    settings.write_text('{"apiKeyHelper": "cat key"}')
    try:
        assert desk.done() == ("failed", "agent_no_login")
    finally:
        settings.unlink()
        settings.parent.rmdir()
    assert desk.done() == NO


def test_what_a_person_has_to_approve_is_refused_before_one_is_asked_for_long(desk: Desk) -> None:
    known_to_have_none(desk)
    desk.scene.grant("--agent", "claude", "--ask")
    spawn = desk.run()["id"]
    assert desk.scene.until(spawn, "rejected")["error"]["code"] == "agent_no_login"
    assert relay_json(desk.scene.vps, "review")["questions"] == []

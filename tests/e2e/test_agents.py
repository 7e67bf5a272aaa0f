"""`relay agents` and `agents test`: what each machine can run, on its own word, and a real tiny task there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.testing.processes import wait_until
from tests.e2e.scene import Scene, relay, relay_json
from tests.e2e.stand_ins import on_path, with_claude

CLAUDE = """#!/bin/sh
case "$1 $2" in
  --version*) echo '2.1.197 (Claude Code)'; exit;;
  'auth status') cat "${0%/*}/login" || echo '{"loggedIn": true}'; exit;;
esac
read -r line
echo '{"type":"result","subtype":"success","is_error":false,"result":"ok","session_id":"s"}'
"""
AGENTS = """
[agents.echoer]
command = ["/bin/cat"]

[agents.gone]
command = ["no-such-program-here"]
"""


@pytest.fixture(scope="module")
def two() -> Iterator[Scene]:
    """A laptop and a vps with a `claude` of its own, and more agents in its agents.toml."""
    with with_claude(CLAUDE, "relay-e2e-") as scene:
        _log_in(scene.mesh.folder / "programs", "true")
        (scene.vps.home / "agents.toml").write_text(AGENTS)
        (scene.vps.home / "agents.toml").chmod(0o600)
        yield scene


def _log_in(programs: Path, whether: str) -> None:
    (programs / "login").write_text(f'{{"loggedIn": {whether}}}')


def _of(found: list[dict[str, Any]], broker: str) -> dict[str, Any]:
    return next(each for each in found if each["broker"]["name"] == broker)


def _agent(said: dict[str, Any], name: str) -> dict[str, Any]:
    agent: dict[str, Any] = next(each for each in said["agents"] if each["name"] == name)
    return agent


def test_each_machine_says_what_it_can_run_to_who_may_know(two: Scene) -> None:
    for grants in (each.home / "trust.toml" for each in (two.laptop, two.vps)):
        grants.unlink(missing_ok=True)  # of another test, which may have come before
    names = ["claude", "echoer", "shell", "exec"]
    wait_until(lambda: set(names) <= {each["name"] for each in _told(two)["agents"]}, 20, "the vps' record")
    told = _told(two)
    assert told["truth"] is None and "neither view nor spawn" in told["why"]
    assert _agent(told, "claude")["version"] is None
    two.grant("--agent", "claude", "--agent", "echoer", "--agent", "gone", "--agent", "shell", "--dir", "new")
    told = _told(two)
    assert told["truth"] and told["truth"]["from"] == two.vps.id and told["why"] is None, told["why"]
    claude, gone = _agent(told, "claude"), _agent(told, "gone")
    assert (claude["installed"], claude["version"], claude["logged_in"]) == (True, "2.1.197", True)
    assert gone["installed"] is False and gone["path"] is None
    own = _of(relay_json(two.laptop, "agents"), two.laptop.name)
    assert own["truth"]["from"] == two.laptop.id and _agent(own, "shell")["installed"]
    said = relay(two.laptop, "agents", "--broker", two.vps.name)
    assert b"2.1.197" in said.stdout and b"not installed on vps: " in said.stderr and b"gone" in said.stderr


def _told(two: Scene) -> dict[str, Any]:
    return _of(relay_json(two.laptop, "agents"), two.vps.name)


def test_a_test_is_a_real_task_and_the_list_says_how_it_ended(two: Scene) -> None:
    two.grant("--agent", "claude", "--agent", "echoer", "--agent", "shell", "--dir", "new")
    done = relay_json(two.laptop, "agents", "test", "claude", "--broker", two.vps.name)
    assert done[0]["agent"] == "claude" and done[0]["spawn"]["state"] == "completed"
    assert done[0]["spawn"]["mode"] == "plan" and done[0]["spawn"]["broker"]["id"] == two.vps.id
    tested = _agent(_told(two), "claude")["test"]
    assert tested["spawn"] == done[0]["spawn"]["id"] and tested["state"] == "completed"
    missing = relay(two.laptop, "agents", "test", "gone", "--broker", two.vps.name)
    assert missing.returncode not in (0, None), missing
    everything = relay_json(two.laptop, "agents", "test", "--broker", two.vps.name, status=None)
    results = {each["agent"]: each["spawn"] and each["spawn"]["state"] for each in everything}
    assert results["claude"] == results["echoer"] == results["shell"] == "completed", everything
    assert {"agent": "gone", "spawn": None, "skipped": "not installed"} in everything


def test_what_a_broken_file_hides_is_not_said_to_be_missing(two: Scene) -> None:
    file = two.vps.home / "agents.toml"
    try:
        file.write_text('[agents.mine]\ncommand = ["mine", "{taks}"]\n')
        why = "mine: agents.toml, line 2, cannot be used: in section agents.mine: {taks} is put in for nothing"
        said = relay(two.vps, "agents", "--broker", two.vps.name).stderr.decode()
        assert why in said and said.count("agents.toml") == 1
        tried = relay_json(two.vps, "agents", "test", status=1)
        assert why.removeprefix("mine: ") in next(each["skipped"] for each in tried if each["agent"] == "mine")
        assert next(each["spawn"]["state"] for each in tried if each["agent"] == "claude") == "completed"
        file.write_text("no TOML")
        tried = relay_json(two.vps, "agents", "test", status=1)
        hit = {each["agent"] for each in tried if "agents.toml, line 1" in (each["skipped"] or "")}
        assert "claude" in hit and "shell" not in hit
    finally:
        file.write_text(AGENTS)


def test_who_is_not_logged_in_is_told_so_and_not_tested(two: Scene) -> None:
    two.grant("--agent", "claude", "--dir", "new")
    with _restarted(two, "false"):
        assert _agent(_told(two), "claude")["logged_in"] is False
        said = relay(two.laptop, "agents")
        assert b"NOT logged in" in said.stdout and b"claude auth login" in said.stderr
        tried = relay_json(two.laptop, "agents", "test", "--broker", two.vps.name, status=None)
        assert "not logged in" in next(each["skipped"] for each in tried if each["agent"] == "claude")


class _restarted:
    """The vps finds another login: what was found is told again for half a minute, so that its broker starts anew."""

    def __init__(self, two: Scene, whether: str) -> None:
        self._two, self._whether = two, whether

    def __enter__(self) -> None:
        self._again(self._whether)

    def __exit__(self, *_: object) -> None:
        self._again("true")

    def _again(self, whether: str) -> None:
        programs = self._two.vps.scratch / "programs"
        _log_in(programs, whether)
        with on_path(programs):
            self._two.vps.restart()
        self._two.linked()  # both: laptop may have to see yet that the former link has ended


def test_of_one_that_sleeps_the_record_names_what_it_had(two: Scene) -> None:
    two.grant("--agent", "claude", "--dir", "new")
    assert _told(two)["truth"]
    two.vps.stop()
    wait_until(lambda: two.laptop.status()["links"] == 0, 30, "the end of the link")
    told = _told(two)
    assert told["truth"] is None and _agent(told, "claude")["installed"] and told["why"]
    asked = relay(two.laptop, "agents", "test", "--broker", two.vps.name)
    assert asked.returncode == 1 and b"cannot be asked" in asked.stderr, asked


def test_of_one_that_says_nothing_it_is_told_within_ten_seconds(two: Scene) -> None:
    if not two.vps.running:
        two.vps.start()
    two.linked()
    two.grant("--agent", "claude", "--dir", "new")
    with two.vps.asleep():  # its link stands
        assert two.laptop.status()["links"] == 1
        done = relay(two.laptop, "agents", "--broker", two.vps.name, timeout=20)  # and this command's own time
    said = done.stderr.decode()
    assert done.returncode == 0 and b"shell" in done.stdout
    assert "asking every broker in reach what it can run" in said and "vps did not say: " in said
    assert "not linked with this broker yet" not in said, said

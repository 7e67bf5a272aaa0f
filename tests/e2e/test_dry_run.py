"""`relay spawn --dry-run`: the target's own word on what would become of a spawn, and nothing left of the question."""

from __future__ import annotations

import datetime
import shutil
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.e2e.scene import Scene, audit, error_of, fresh, relay, relay_json, started
from tests.e2e.test_through_the_middle import Three, _is_reached, _wakes, three

__all__ = ["three"]

KEPT = ("spawns", "outbox", "seen", "effects", "snapshots", "attempts", "questions", "schedules", "operations")


def _rows(node: Node) -> dict[str, int]:
    with closing(sqlite3.connect(f"file:{node.home}/relay.db?mode=ro", uri=True)) as store:
        return {table: int(store.execute(f"SELECT count(*) FROM {table}").fetchone()[0]) for table in KEPT}


def _at_rest(two: Scene) -> dict[str, dict[str, int]]:
    """The rows of both, once what an earlier spawn had left to carry has arrived and is acknowledged."""

    def seen() -> dict[str, dict[str, int]]:
        rows = {node.name: _rows(node) for node in (two.laptop, two.vps)}
        return {} if any(kept["outbox"] for kept in rows.values()) else rows

    return wait_until(seen, 30, "both outboxes are empty")


def _try(two: Scene, *options: str, agent: str = "shell", task: str = "true", status: int | None = 0) -> dict[str, Any]:
    words = two.words(agent, task, name=fresh("dry"))
    found: dict[str, Any] = relay_json(two.laptop, *words, "--dry-run", *options, status=status)
    return found


def test_what_it_says_is_what_a_spawn_then_meets_and_it_leaves_nothing(two: Scene) -> None:
    _try(two, status=125)  # whatever is kept of a first contact is there now
    refused = _try(two, status=125)
    assert refused["verdict"] == "refuse" and refused["truth"]["from"] == two.vps.id
    assert refused["error"] == two.shell("true", status=125)["error"]
    two.grant()
    before = _at_rest(two)
    told = _try(two, status=0)
    assert told["verdict"] == "start" and told["truth"]["from"] == two.vps.id and told["error"] is None
    assert told["facts"]["directory"] == {"asked": str(two.vps.work), "path": str(two.vps.work), "fresh": False}
    assert told["facts"]["agent"]["path"] == "/bin/sh" and told["facts"]["timeout_s"] == 90
    assert told["facts"]["slots"]["used"] == 0 < told["facts"]["slots"]["of"]
    assert {node.name: _rows(node) for node in (two.laptop, two.vps)} == before
    assert two.shell("true", status=0)["state"] == "completed"


def test_a_key_that_was_used_starts_nothing_new_and_a_dry_run_says_so(two: Scene) -> None:
    two.grant()
    key = ("--idempotency-key", fresh("key"))
    words = two.words("shell", "true", name=fresh("keyed"))
    assert relay_json(two.laptop, *words, "--dry-run", *key)["verdict"] == "start"
    assert relay_json(two.laptop, *words, "--dry-run", *key)["verdict"] == "start", "a dry run uses no key up"
    spawn = relay_json(two.laptop, *words, "--wait", *key)["id"]
    told = relay_json(two.laptop, *words, "--dry-run", *key)
    assert told["verdict"] == "known" and told["truth"]["from"] == two.laptop.id and told["facts"] is None
    assert told["earlier"] == {"kind": "spawn", "id": spawn, "name": words[1], "state": "completed"}
    said = relay(two.laptop, *words, "--dry-run", *key)
    assert said.returncode == 0
    assert said.stdout.decode().startswith(f"nothing new: this key has made the spawn {words[1]} on vps, {spawn}: Done")
    assert f"show {spawn}" in said.stderr.decode()
    assert relay_json(two.laptop, *words, *key)["id"] == spawn, "as it said"
    other = relay_json(two.laptop, *two.words("shell", "false"), "--dry-run", *key, status=125)
    assert other["verdict"] == "refuse" and other["error"]["code"] == "conflict"
    assert other["truth"]["from"] == two.laptop.id


def test_a_schedule_s_key_is_known_to_a_dry_run_too(two: Scene) -> None:
    two.grant()
    words = (*two.words("shell", "true", name=fresh("keyed")), "--every", "6h", "--idempotency-key", fresh("key"))
    made = relay_json(two.laptop, *words)
    told = relay_json(two.laptop, *words, "--dry-run")
    assert told["verdict"] == "known" and told["earlier"]["kind"] == "schedule" and told["earlier"]["id"] == made["id"]
    assert relay(two.laptop, *words, "--dry-run").stdout.startswith(b"nothing new: this key has made the schedule")
    relay(two.laptop, "schedule", "remove", made["id"])


def test_who_may_not_spawn_learns_the_refusal_and_no_more(two: Scene) -> None:
    told = _try(two, "--cwd", "/", agent="claude", status=125)
    assert told["verdict"] == "refuse" and told["error"]["code"] == "no_grant"
    assert told["facts"] is None and told["next"] is None and told["known_here"] is None
    said = relay(two.laptop, *two.words("shell", "true"), "--dry-run")
    assert said.returncode == 125 and b"no: vps would refuse" in said.stdout and b"slots" not in said.stdout
    assert b"try:   on vps: relay trust allow" in said.stderr and b"nothing was started or queued" in said.stderr
    last = [each for each in audit(two.vps) if each["kind"] == "dry-run"][-1]
    assert (last["decision"], last["code"]) == ("refused", "no_grant")


def test_it_says_what_would_be_waited_for_or_asked_of_a_person(two: Scene) -> None:
    two.grant("--agent", "shell", "--max-parallel", "1")
    name = fresh("busy")
    spawn = two.begin("sleep 60", name=name)
    two.until(spawn, "running")
    told = _try(two)
    assert told["verdict"] == "wait" and "1 of its tasks" in told["reason"] and told["facts"]["slots"]["used"] == 1
    taken = relay_json(two.laptop, *two.words("shell", "true", name=name), "--dry-run", status=125)
    assert taken["error"]["code"] == "name_in_use" and taken["truth"]["from"] == two.laptop.id
    later = _try(two, "--at", "2h", "--retries", "3", "--priority", "5", "--after", spawn)
    assert later["verdict"] == "wait" and "after" in later["reason"]
    assert (later["retries"], later["priority"], later["after"][0]["id"]) == (3, 5, spawn)
    assert later["not_before"] > told["truth"]["at"]
    relay(two.laptop, "stop", spawn)
    two.grant("--agent", "shell", "--ask")
    held = _try(two)
    assert held["verdict"] == "hold" and "has to approve" in held["reason"]


def test_places_and_programs_are_told_as_they_are_there(granted: Scene) -> None:
    link = granted.vps.scratch / fresh("link")
    link.symlink_to(granted.vps.work)
    told = _try(granted, "--cwd", str(link))
    assert told["facts"]["directory"]["path"] == str(granted.vps.work)
    link.unlink()
    missing = _try(granted, "--cwd", str(granted.vps.work / "nosuch"), status=125)
    assert (missing["verdict"], missing["error"]["code"]) == ("refuse", "no_directory")
    nowhere = relay_json(granted.laptop, *granted.words("exec", "no-such-program"), status=None)
    assert nowhere["state"] != "rejected"  # a spawn is taken, and fails where nobody looks
    words = granted.words("exec", "no-such-program", options=("--dry-run",))
    failing = relay_json(granted.laptop, *words, status=125)
    assert (failing["verdict"], failing["error"]["code"]) == ("fail", "missing_binary")
    there = relay_json(granted.laptop, *granted.words("exec", "sleep", options=("--dry-run",)))
    assert there["facts"]["agent"]["path"] == shutil.which("sleep", path=granted.vps.environment()["PATH"])


def test_an_agent_of_that_machine_is_looked_at(granted: Scene) -> None:
    program = granted.vps.scratch / "claude"
    program.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo "2.1.99 (Claude Code)" && exit\necho \'{"loggedIn": false}\'\n'
    )
    program.chmod(0o755)
    (granted.vps.home / "agents.toml").write_text(f'[agents.mine]\ncommand = ["{program}", "{{task}}"]\n')
    granted.grant("--agent", "mine", "--agent", "claude")
    told = _try(granted, agent="mine")
    assert told["verdict"] == "start" and told["facts"]["agent"]["path"] == str(program)
    unknown = _try(granted, agent="yours", status=125)
    assert unknown["verdict"] == "refuse"


def test_a_schedule_says_when_it_would_run_first(granted: Scene) -> None:
    told = _try(granted, "--every", "6h")
    first = datetime.datetime.fromisoformat(told["next"]).timestamp()
    assert told["verdict"] == "start" and 5.9 * 3600 < first - time.time() < 6.1 * 3600
    later = _try(granted, "--every", "30 2 * * *", "--at", "2d")
    assert (later["verdict"], later["reason"]) == ("start", "") and later["next"] > later["not_before"]
    bad = _try(granted, "--every", "61 * * * *", status=125)
    assert (bad["verdict"], bad["error"]["code"]) == ("refuse", "bad_time")


def test_this_machine_answers_for_itself(two: Scene) -> None:
    words = ("spawn", fresh(), "shell", "true", "--cwd", str(two.laptop.work), "--dry-run")
    told = relay_json(two.laptop, *words)
    assert told["verdict"] == "start" and told["truth"]["from"] == two.laptop.id
    said = relay(two.laptop, *words)
    assert said.returncode == 0 and said.stdout.startswith(b"yes: ") and b"would start on laptop now" in said.stdout


def test_what_sleeps_cannot_say_and_what_is_known_here_is_told_as_such(granted: Scene) -> None:
    _at_rest(granted)
    granted.vps.stop()
    told = _try(granted, status=1)
    assert told["verdict"] == "unknown" and told["truth"] is None and told["facts"] is None
    assert told["error"]["code"] == "unreachable" and told["known_here"]["last_seen"]
    assert "shell" in told["known_here"]["agents"]
    said = relay(granted.laptop, *granted.words("shell", "true"), "--dry-run")
    assert said.returncode == 1 and b"known here of vps, by what it said earlier" in said.stdout
    assert relay_json(granted.laptop, "outbox")["outgoing"] == []


def test_one_that_fell_asleep_unnoticed_is_not_waited_for_long(granted: Scene) -> None:
    """As the link finds out; and after a second a person reads what is waited for."""
    granted.vps.pause()
    began = time.monotonic()
    said = relay(granted.laptop, *granted.words("shell", "true"), "--dry-run")
    took = time.monotonic() - began
    granted.vps.resume()
    assert said.returncode == 1 and took < 20, took
    assert b"asking the broker that would run it" in said.stderr and b"known here of vps" in said.stdout


def test_it_goes_with_no_waiting_for_an_end(two: Scene) -> None:
    done = relay(two.laptop, "--json", *two.words("shell", "true"), "--dry-run", "--wait")
    assert done.returncode == 2 and error_of(done)["code"] == "usage"


def test_it_is_asked_through_the_middle(three: Three) -> None:
    for node in (three.laptop, three.mini):
        node.launcher = (sys.executable, "-m", "relay.testing.apart", "--only", three.vps.address, "--")
        _wakes(node, three.vps)
    three.until(lambda: _is_reached(three), "vps to have said that it is linked with mini")
    words = ("spawn", "far", "shell", "true", "--broker", "mini", "--cwd", str(three.mini.work), "--dry-run")
    told = three.laptop.relay_json(*words)
    assert told["verdict"] == "start" and told["truth"]["from"] == three.mini.id
    assert not Path(three.mini.home / "attempts").exists() or not list((three.mini.home / "attempts").glob("*-1"))
    _is_seen_through_the_middle(three)


def _is_seen_through_the_middle(three: Three) -> None:
    """What mini itself runs is seen, followed and stopped by laptop over vps, which may see nothing of it."""
    three.mini.relay("trust", "allow", three.laptop.id, "--verb", "view", "--verb", "stop")
    spawn = relay_json(three.mini, "spawn", "own", "shell", "echo secretly; sleep 60")["id"]
    three.until(lambda: relay_json(three.mini, "show", spawn)["state"] == "running", "its start")
    # who takes a second to answer is not listed
    three.until(lambda: [each["id"] for each in relay_json(three.laptop, "ps")] == [spawn], "laptop to be told of it")
    with started(three.laptop, "logs", "-f", "own") as follower:
        assert follower.stdout is not None and follower.stdout.readline() == b"secretly\n"
        assert relay_json(three.laptop, "stop", "own")["state"] == "cancelled"
        assert follower.wait(10) == 0
    assert relay_json(three.vps, "ps") == []
    assert error_of(relay(three.vps, "--json", "show", "own@mini"))["code"] == "unknown_spawn"

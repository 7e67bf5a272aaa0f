"""What runs again and again: kept by its target, told to its origin, once for each due time."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from relay.testing import crash_points, processes
from relay.testing.mesh import Mesh
from relay.testing.node import DAEMON, Node
from tests.e2e.scene import Scene, error_of, fresh, relay, relay_json


def _every(scene: Scene, script: str, period: str, name: str, *options: str) -> dict[str, Any]:
    words = scene.words("shell", script, name=name, options=("--every", period, *options))
    made: dict[str, Any] = relay_json(scene.laptop, *words)
    return made


def _runs(node: Node, name: str) -> list[dict[str, Any]]:
    return [spawn for spawn in relay_json(node, "ps", "--all") if spawn["name"] == name and spawn["schedule"]]


def _lines(file: Path) -> int:
    return len(file.read_text().split()) if file.exists() else 0


def test_a_schedule_runs_while_its_origin_sleeps_and_tells_it_later(granted: Scene) -> None:
    name, marks = fresh("tick"), granted.vps.work / fresh("marks")
    made = _every(granted, f"echo x >> {marks}", "1s", name)
    assert (made["state"], made["broker"]["name"]) == ("active", "vps") and made["next"]
    with granted.laptop.asleep():
        processes.wait_until(lambda: _lines(marks) >= 2, 15, "two runs while the origin sleeps")
    assert relay_json(granted.laptop, "schedule", "remove", name)["state"] == "removed"
    ran = _lines(marks)

    def all_told() -> bool:
        runs = _runs(granted.laptop, name)
        return len(runs) == len(_runs(granted.vps, name)) and all(run["state"] == "completed" for run in runs)

    processes.wait_until(all_told, 15, "the origin to know of every run and its result")
    assert len(_runs(granted.laptop, name)) >= ran >= 2
    course = relay_json(granted.laptop, "show", _runs(granted.laptop, name)[0]["id"])["timeline"]
    assert {each["from"]["name"] for each in course} == {"vps"}, "its origin slept, and said nothing"
    listed = relay_json(granted.laptop, "schedule", "list", "--all")
    assert next(each["runs"] for each in listed if each["id"] == made["id"]) == len(_runs(granted.laptop, name))


def test_runs_that_were_missed_come_about_once(granted: Scene) -> None:
    """The broker is killed for several periods: all that was missed runs once.

    And a due time that a clock which was ahead had come upon already stops nothing.
    """
    name, marks = fresh("tick"), granted.vps.work / fresh("marks")
    _every(granted, f"echo x >> {marks}", "2s", name)
    ahead, its = fresh("ahead"), granted.vps.work / fresh("marks")
    _every(granted, f"echo x >> {its}", "1s", ahead)
    granted.vps.kill()
    with closing(sqlite3.connect(f"{granted.vps.home}/relay.db", isolation_level=None)) as store:
        store.execute("INSERT INTO schedule_runs SELECT id, next, NULL FROM schedules WHERE name = ?", (ahead,))
    ran = _lines(its)
    with closing(sqlite3.connect(f"file:{granted.vps.home}/relay.db?mode=ro", uri=True)) as store:
        (before,) = store.execute("SELECT count(*) FROM spawns WHERE name = ?", (name,)).fetchone()  # none, as a rule
    processes.wait_until(lambda: granted.laptop.status()["links"] == 0, 10, "the link to be seen gone")
    later = relay_json(granted.laptop, "spawn", "-", "shell", "sleep 6.5", "--cwd", str(granted.laptop.work), "--wait")
    assert later["state"] == "completed"
    began = time.monotonic()
    granted.vps.start()
    processes.wait_until(lambda: _lines(marks) > before, 10, "the missed runs to be made up for")
    processes.wait_until(lambda: _lines(its) > ran, 10, "another run of the other one")
    granted.linked()
    relay(granted.vps, "schedule", "remove", ahead)
    relay(granted.laptop, "schedule", "remove", name)
    since = time.monotonic() - began
    runs = _runs(granted.vps, name)
    processes.wait_until(lambda: _lines(marks) == len(runs), 10, "every run to leave its mark")
    # three were missed and run as one; the others came due since, which may be long ago on a busy machine
    assert len(runs) <= before + 2 + since // 2


def test_one_that_cannot_be_run_is_passed_over_and_keeps_no_broker_from_starting() -> None:
    """A schedule of a rule that is none any more, and a spawn that meets a fault of the broker's own."""
    with Mesh.scratch("relay-odd-") as mesh:
        node = mesh.add("mini")
        here = ("--cwd", str(node.work))
        never = node.relay_json("spawn", "never", "shell", *here, "--every", "1h", "true")["id"]
        later = [node.relay_json("spawn", "-", "shell", *here, "--at", "1h", "true")["id"] for _ in range(3)]
        again = node.relay_json("spawn", "-", "shell", *here, "--wait", "exit 3", check=False)["id"]
        for words in (("queue", "pause"), ("retry", again), ("edit", again, "--at", "1h"), ("queue", "resume")):
            node.relay(*words)
        node.restart()  # it waits for a moment though it was tried, and for no retry
        assert "could not be looked at" not in node.log()
        node.kill()
        with closing(sqlite3.connect(node.home / "relay.db", isolation_level=None)) as store:
            store.execute("UPDATE schedules SET every = '0 0 30 2 *', next = 1 WHERE id = ?", (never,))
            store.execute("UPDATE spawns SET not_before = 1 WHERE attempt = 0")
            store.execute("UPDATE spawns SET attempt = -5 WHERE id = ?", (later[1],))
        node.start()
        with node.control() as control:
            others = [f"spawns/{later[0]}", f"spawns/{later[2]}"]
            processes.wait_until(
                lambda: all(control.get(each)["state"] == "completed" for each in others), 20, "the others to have run"
            )
            odd = control.get(f"spawns/{later[1]}")
            assert odd["state"] == "waiting" and "a fault of its own" in odd["reason"], odd
        node.relay("spawn", "-", "shell", *here, "--wait", "true")
        for over in (f"spawn {later[1]}", f"schedule {never}"):
            assert f"{over} is passed over, the others go on" in node.log()
        assert node.relay_json("schedule", "remove", never)["state"] == "removed"


def test_a_run_is_skipped_while_the_one_before_lives(granted: Scene) -> None:
    name = fresh("slow")
    _every(granted, "sleep 60", "1s", name)

    def skipped(on: Node) -> bool:
        listed = relay_json(on, "schedule", "list", "--all")
        return any(each["name"] == name and each["skipped"] >= 2 for each in listed)

    processes.wait_until(lambda: skipped(granted.vps), 15, "two due times to be skipped", every=0.3)
    assert len(_runs(granted.vps, name)) == 1
    relay(granted.laptop, "schedule", "remove", name)
    relay(granted.laptop, "stop", f"{name}@vps")
    processes.wait_until(lambda: skipped(granted.laptop), 10, "the origin to hear of them with the end of that run")


def test_who_may_not_run_it_may_not_schedule_it_and_a_revoked_grant_ends_it(two: Scene) -> None:
    name = fresh("denied")
    words = two.words("shell", "true", name=name, options=("--every", "1h"))
    assert error_of(relay(two.laptop, "--json", *words))["code"] == "no_grant"
    two.grant()
    made = relay_json(two.laptop, *words)
    relay(two.vps, "trust", "revoke", "laptop")

    def refused() -> bool:
        listed = relay_json(two.laptop, "schedule", "list")
        return any(each["id"] == made["id"] and each["state"] == "refused" for each in listed)

    processes.wait_until(refused, 10, "the origin to hear of it")
    assert relay_json(two.vps, "schedule", "list") == []


def test_who_asked_for_a_schedule_hears_that_a_person_there_has_removed_it(granted: Scene) -> None:
    made = _every(granted, "true", "1h", fresh("gone"))
    assert relay_json(granted.vps, "schedule", "remove", made["id"])["state"] == "removed"

    def known() -> dict[str, Any]:
        listed = relay_json(granted.laptop, "schedule", "list")
        found: dict[str, Any] = next((each for each in listed if each["id"] == made["id"]), {})
        return found if found.get("state") != "active" else {}

    found = processes.wait_until(known, 10, "the origin to hear of it")
    assert (found["state"], found["next"], found["error"]["code"]) == ("refused", None, "denied")
    assert found["error"]["message"].startswith("removed by ") and found["error"]["message"].endswith(" on vps")
    again = error_of(relay(granted.laptop, "--json", "schedule", "remove", made["id"]))
    assert again["message"].endswith(" runs no more already") and again["why"] == found["error"]["message"]


@pytest.mark.parametrize("options", [("--every", "61 * * * *"), ("--every", "6"), ("--at", "soon")])
def test_a_time_that_cannot_be_read_is_a_usage_error(granted: Scene, options: tuple[str, ...]) -> None:
    done = relay(granted.laptop, "--json", *granted.words("shell", "true", options=options))
    assert (done.returncode, error_of(done)["code"]) == (2, "bad_time")


def test_a_local_schedule_needs_nobody(granted: Scene) -> None:
    name, marks = fresh("local"), granted.laptop.work / fresh("marks")
    words = ("spawn", name, "shell", f"echo x >> {marks}", "--cwd", str(granted.laptop.work), "--every", "1s")
    assert relay_json(granted.laptop, *words)["state"] == "active"
    assert error_of(relay(granted.laptop, "--json", *words))["code"] == "name_in_use"
    processes.wait_until(lambda: _lines(marks) >= 1, 10, "a run")
    listed = relay(granted.laptop, "schedule", "list").stdout.decode()
    row = next(line for line in listed.splitlines() if line.startswith(f"{name} "))
    following = [cell.strip() for cell in row.split("  ") if cell.strip()][4]
    assert time.strptime(following[-8:], "%H:%M:%S"), "as a clock shows it, here"
    assert relay_json(granted.laptop, "schedule", "remove", name)["next"] is None
    again = error_of(relay(granted.laptop, "--json", "schedule", "remove", name))
    assert (again["code"], again["why"]) == ("unknown_schedule", "it was removed")


def test_a_key_gives_its_schedule_back_also_once_that_runs_no_more(granted: Scene) -> None:
    name, key = fresh("keyed"), fresh("key")
    words = ("spawn", name, "shell", "true", "--every", "1h", "--idempotency-key", key)
    made = relay_json(granted.laptop, *words)
    relay(granted.laptop, "schedule", "remove", name)
    assert relay_json(granted.laptop, *words) == made | {"state": "removed", "next": None}
    assert b"runs on laptop no more" in relay(granted.laptop, *words).stdout
    other = [each if each != "1h" else "2h" for each in words]
    assert error_of(relay(granted.laptop, "--json", *other))["code"] == "conflict"


@pytest.mark.parametrize("when", crash_points.WHEN)
def test_a_broker_that_dies_as_a_run_comes_due_makes_it_once(granted: Scene, when: str) -> None:
    name, marks = fresh("due"), granted.vps.work / fresh("marks")
    vps = granted.vps
    vps.stop()
    vps.launcher = crash_points.launcher("due", when, 1)
    vps.start()
    granted.linked()
    _every(granted, f"echo x >> {marks}", "1s", name)
    processes.wait_until(lambda: not vps.running, 15, "the broker to die")
    vps.launcher = DAEMON
    vps.start()
    processes.wait_until(lambda: _lines(marks) >= 2, 15, "two runs")
    relay(vps, "schedule", "remove", name)
    runs = _runs(vps, name)
    processes.wait_until(lambda: _lines(marks) == len(runs), 10, "each run to leave one mark")
    granted.linked()
    processes.wait_until(lambda: len(_runs(granted.laptop, name)) == len(runs), 10, "the origin to know of each")

"""What `edit` says and does of a moment and of a time to live; what follows an end; which of one name is meant."""

from __future__ import annotations

import contextlib
import shlex
import sqlite3

import pytest

from relay.testing import processes
from relay.testing.control import ControlError
from relay.testing.node import Node
from tests.e2e import orderless_program
from tests.e2e.scene import Scene, error_of, fresh, relay, relay_json


def _own(node: Node, *options: str, name: str = "-") -> str:
    """A spawn of this machine itself."""
    return str(relay_json(node, "spawn", name, "shell", "true", "--cwd", str(node.work), *options)["id"])


def test_another_moment_is_said_at_once_here_and_at_its_origin(granted: Scene) -> None:
    for spawn in (granted.begin("true", "--at", "2h"), _own(granted.laptop, "--at", "2h")):
        first = granted.until(spawn, "waiting")["reason"]
        edited = relay_json(granted.laptop, "edit", spawn, "--at", "3h")["reason"]
        assert edited.startswith("not before ") and edited != first
        assert granted.show(spawn)["reason"] == edited
        relay_json(granted.laptop, "stop", spawn)


def test_a_shorter_time_to_live_ends_what_waits_in_time(granted: Scene) -> None:
    granted.vps.stop()
    processes.wait_until(lambda: granted.laptop.status()["links"] == 0, 10, "the link to be seen gone")
    unsent = granted.begin("true")
    relay_json(granted.laptop, "edit", unsent, "--ttl", "1s")
    assert granted.until(unsent, "expired", within=8)["reason"] == "it was not sent before its time to live was over"


def test_a_shorter_time_to_live_ends_what_is_held_in_time(granted: Scene) -> None:
    granted.grant("--agent", "shell", "--ask")
    spawn = granted.begin("true")
    granted.until(spawn, "held")
    relay_json(granted.laptop, "edit", spawn, "--ttl", "1s")
    assert not granted.until(spawn, "expired", within=8)["attempt"]
    (failure,) = [each for each in relay_json(granted.laptop, "failures") if each["id"] == spawn]
    assert failure["next"] == f"relay retry {spawn}"  # it has no log


def test_of_several_of_a_name_the_one_on_the_broker_that_runs_it_is_come_after(granted: Scene) -> None:
    name = fresh("q")
    here, there = _own(granted.laptop, "--at", "2h", name=name), granted.begin("true", "--at", "2h", name=name)
    behind = granted.begin("true", "--after", name)
    assert [each["id"] for each in granted.show(behind)["after"]] == [there]
    relay_json(granted.laptop, "edit", behind, "--after", "none", "--at", "2h")
    assert [each["id"] for each in relay_json(granted.laptop, "edit", behind, "--after", name)["after"]] == [there]
    assert error_of(relay(granted.laptop, "--json", "show", name))["code"] == "ambiguous"
    for spawn in (behind, here, there):
        relay_json(granted.laptop, "stop", spawn)


def test_a_schedule_is_removed_by_its_name_at_its_broker(granted: Scene) -> None:
    name, laptop = fresh("nightly"), granted.laptop
    made = relay_json(laptop, *granted.words("shell", "true", name=name, options=("--every", "1h")))
    own = relay_json(laptop, "spawn", name, "shell", "true", "--cwd", str(laptop.work), "--every", "1h")
    both = error_of(relay(laptop, "--json", "schedule", "remove", name))
    assert both["code"] == "ambiguous" and f"{name}@vps {made['id']}" in both["why"]
    assert relay_json(laptop, "schedule", "remove", f"{name}@vps")["id"] == made["id"]
    assert relay_json(laptop, "schedule", "remove", f"{name}@laptop")["id"] == own["id"]
    over = error_of(relay(laptop, "--json", "schedule", "remove", f"{name}@vps"))
    assert (over["code"], over["why"]) == ("unknown_schedule", "it was removed")


def test_what_ran_out_of_its_time_is_given_more_by_the_command_that_is_its_next_step(granted: Scene) -> None:
    name = fresh("slow")
    # long enough that what is sent to the second comes in its time
    options = ("--timeout", "5s", "--label", "team=core", "--priority", "3")
    spawn = granted.begin("read -r line; echo 'it is' done", *options, "--stdin", name=name)
    ended = granted.until(spawn, "timed_out")
    (failure,) = (each for each in relay_json(granted.laptop, "failures") if each["id"] == spawn)
    assert failure["next"] == ended["error"]["hint"]
    assert failure["next"].encode() in relay(granted.laptop, "show", spawn).stdout
    command = shlex.split(failure["next"])
    assert command[:3] == ["relay", "spawn", name]
    again = relay_json(granted.laptop, *command[1:])
    assert again["timeout_s"] == 10 and again["id"] != spawn
    for same in ("task", "agent", "broker", "cwd", "mode", "labels", "priority", "retries"):
        assert again[same] == ended[same], same
    relay(granted.laptop, "send", again["id"], "go")
    assert granted.until(again["id"], "completed", "timed_out")["result"]["output_tail"] == "it is done\n"


def test_what_no_line_can_say_again_is_looked_at(granted: Scene) -> None:
    spawn = granted.begin("sleep 9\n", "--timeout", "0.5s")
    assert granted.until(spawn, "timed_out")["error"]["hint"].startswith(f"relay logs {spawn}")


def test_what_runs_is_shown_as_paused_nowhere_whoever_resumed_it(granted: Scene) -> None:
    spawn = granted.begin("true", "--at", "1h")
    granted.until(spawn, "waiting")
    assert relay_json(granted.laptop, "pause", spawn)["paused"]
    relay(granted.vps, "edit", spawn, "--at", "now")
    relay(granted.vps, "resume", spawn)
    assert granted.until(spawn, "completed")["paused"] is None
    assert b"\npaused:" not in relay(granted.laptop, "show", spawn).stdout


def test_what_was_stopped_is_shown_as_paused_nowhere(granted: Scene) -> None:
    spawn = granted.begin("true", "--at", "1h")
    granted.until(spawn, "waiting")
    relay(granted.vps, "pause", spawn)
    relay(granted.laptop, "stop", spawn)
    assert granted.until(spawn, "cancelled")["paused"] is granted.show(spawn, granted.vps)["paused"] is None
    assert b"\npaused:" not in relay(granted.laptop, "show", spawn).stdout


def test_what_a_person_there_changed_is_shown_at_its_origin_as_it_ran(granted: Scene) -> None:
    before = granted.begin("true", "--at", "1h")
    spawn = granted.begin("echo asked for", "--at", "1h")
    granted.until(spawn, "waiting")
    words = ("edit", spawn, "echo ran", "--timeout", "20s", "--label", "team=core", "--priority", "3")
    relay_json(granted.vps, *words, "--after", before)
    keys = ("task", "timeout_s", "labels", "priority", "after", "retries")

    def is_the_same() -> bool:
        here, there = granted.show(spawn), granted.show(spawn, granted.vps)
        return all(here[key] == there[key] for key in keys) and here["task"] == "echo ran"

    processes.wait_until(is_the_same, 10, "laptop to know what runs")
    relay(granted.vps, "edit", before, "--at", "now")
    relay(granted.vps, "edit", spawn, "--at", "now")
    assert granted.until(spawn, "completed")["result"]["output_tail"] == "ran\n" and is_the_same()


def test_what_was_told_beside_a_spawn_that_is_refused_is_no_dead_letter(granted: Scene) -> None:
    first = granted.shell("true", status=0)["id"]
    relay(granted.vps, "trust", "revoke", "laptop")
    granted.linked()
    behind = granted.begin("true", "--after", first)
    assert granted.until(behind, "rejected")["error"]["code"] == "no_grant"
    processes.wait_until(lambda: not relay_json(granted.laptop, "outbox")["outgoing"], 10, "all to be answered")
    assert relay_json(granted.laptop, "outbox")["dead"] == []


def test_a_retry_that_was_never_sent_is_dropped_or_taken_back(granted: Scene) -> None:
    done = granted.shell("true")["id"]
    granted.vps.stop()
    processes.wait_until(lambda: granted.laptop.status()["links"] == 0, 10, "the link to be seen gone")
    relay(granted.laptop, "retry", done)
    (asked,) = [each["id"] for each in relay_json(granted.laptop, "outbox")["outgoing"] if each["kind"] == "steer"]
    relay(granted.laptop, "outbox", "drop", asked)
    shown = granted.show(done)
    assert shown["asked"][0]["error"]["message"] == f"dropped by {shown['requested_by']}, never sent"
    relay(granted.laptop, "retry", done)
    assert b"has not answered the retry yet; this is the end before it" in relay(granted.laptop, "wait", done).stderr
    assert b"to run once more is taken back" in relay(granted.laptop, "stop", done).stdout
    granted.vps.start()
    granted.at_rest()
    assert [each["error"]["code"] for each in granted.show(done)["asked"]] == ["denied"] * 2
    assert granted.show(done, granted.vps)["attempt"] == 1


def _turn_round(node: Node, kind: str) -> None:
    """What waits in the outbox of a broker that is down leaves it in the opposite order."""
    with contextlib.closing(sqlite3.connect(node.home / "relay.db")) as store, store:
        rows = [row[0] for row in store.execute("SELECT n FROM outbox WHERE kind = ? ORDER BY n", (kind,))]
        store.executemany("UPDATE outbox SET n = -n WHERE n = ?", [(n,) for n in rows])
        pairs = zip(rows, reversed(rows), strict=True)
        store.executemany("UPDATE outbox SET n = ? WHERE n = ?", [(there, -here) for here, there in pairs])


def test_of_two_edits_the_later_one_wins_though_the_earlier_one_comes_last(granted: Scene) -> None:
    laptop, vps = granted.laptop, granted.vps
    spawn, paused = granted.begin("true", "--at", "2h"), granted.begin("true", "--at", "2h")
    for each in (spawn, paused):
        granted.until(each, "waiting")
    vps.stop()
    processes.wait_until(lambda: laptop.status()["links"] == 0, 10, "the link to be seen gone")
    with laptop.control() as control:
        control.post(f"spawns/{spawn}/edit", {"task": "echo 1", "priority": 1, "labels": {"a": "1"}})
        control.post(f"spawns/{spawn}/edit", {"task": "echo 2", "labels": {"b": "2"}})
        for verb in ("pause", "resume"):
            control.post(f"spawns/{paused}/{verb}", {})
            control.post(f"queue/{verb}", {"broker": "vps"})
    laptop.stop()
    _turn_round(laptop, "steer")
    vps.start()
    laptop.start()
    processes.wait_until(lambda: not relay_json(laptop, "outbox")["outgoing"], 20, "vps to have taken all of it")
    processes.wait_until(lambda: not granted.show(spawn)["asked"], 10, "its answers")
    for node in (laptop, vps):
        shown = granted.show(spawn, node)
        assert (shown["task"], shown["priority"], shown["labels"]) == ("echo 2", 1, {"a": "1", "b": "2"}), node.name
        assert (granted.show(paused, node)["paused"], shown["asked"]) == (None, [])
        assert shown["reason"].startswith("not before ")


def test_a_target_of_the_version_before_is_shown_as_it_took_two_edits(granted: Scene) -> None:
    laptop, vps = granted.laptop, granted.vps
    spawn, launcher = granted.begin("true", "--at", "2h"), vps.launcher
    granted.until(spawn, "waiting")
    vps.stop()
    processes.wait_until(lambda: laptop.status()["links"] == 0, 10, "the link to be seen gone")
    with laptop.control() as control:
        for task in ("echo 1", "echo 2"):
            control.post(f"spawns/{spawn}/edit", {"task": task})
    laptop.stop()
    _turn_round(laptop, "steer")
    vps.launcher = orderless_program.LAUNCHER
    vps.start()
    laptop.start()
    processes.wait_until(lambda: not granted.show(spawn)["asked"], 20, "both answers")
    vps.stop()
    vps.launcher = launcher
    vps.start()
    granted.linked()
    assert [granted.show(spawn, node)["task"] for node in (vps, laptop)] == ["echo 1", "echo 1"]


def test_a_pause_and_who_undoes_it_are_told_where_it_was_asked_for(granted: Scene) -> None:
    spawn = granted.begin("true", "--at", "3h")
    granted.until(spawn, "waiting")
    relay(granted.laptop, "pause", spawn)
    for node in (granted.laptop, granted.vps):
        with node.control() as control, pytest.raises(ControlError, match="used for something else"):
            for verb in ("pause", "pause", "resume"):
                control.post(f"spawns/{spawn}/{verb}", {"operation": "one"})
    relay(granted.vps, "resume", spawn)  # the reason stays, and the mark is told all the same
    processes.wait_until(lambda: granted.show(spawn)["paused"] is None, 10, "the mark to be gone here too")
    relay(granted.vps, "pause", spawn)
    processes.wait_until(lambda: granted.show(spawn)["paused"], 10, "the mark to be here too")
    relay(granted.laptop, "stop", spawn)


def test_a_date_that_has_passed_starts_nothing_and_a_moment_takes_its_time_to_live_along(granted: Scene) -> None:
    late = granted.words("shell", "true", options=("--at", "2020-01-31"))
    assert error_of(relay(granted.laptop, "--json", *late))["code"] == "bad_time"
    keyed = relay(granted.laptop, *late, "--idempotency-key", fresh("late"))
    assert keyed.returncode == 0 and b"2020-01-31 has passed" in keyed.stderr
    spawn = granted.begin("true", "--at", "1h", "--ttl", "4s")
    granted.until(spawn, "waiting")
    assert error_of(relay(granted.laptop, "--json", "edit", spawn, "--at", "2020-01-31"))["code"] == "bad_time"
    relay_json(granted.laptop, "edit", spawn, "--at", "5s")
    assert granted.until(spawn, "completed", "expired")["state"] == "completed"
    spawn = granted.begin("true", "--at", "1h")
    assert relay_json(granted.laptop, "edit", spawn, "--at", "now")["not_before"] is None
    granted.until(spawn, "completed")
    spawn = granted.begin("sleep 60", "--at", "1h")
    granted.until(spawn, "waiting")  # else its origin may end it by itself
    relay(granted.laptop, "stop", spawn)
    granted.until(spawn, "cancelled", on=granted.vps)
    relay(granted.vps, "retry", spawn)  # runs at once, and its origin does not say that it is for later
    granted.until(spawn, "running")
    processes.wait_until(lambda: granted.show(spawn)["not_before"] is None, 10, "the moment to be gone here too")
    relay(granted.laptop, "stop", spawn)


def test_a_retry_that_leads_to_no_start_is_not_said_to_run(granted: Scene) -> None:
    """What comes after something that failed ends at once, whenever it is asked for again."""
    first = granted.begin("exit 3", name=fresh("first"))
    second = granted.begin("true", "--after", first, name=fresh("second"))
    granted.until(second, "cancelled")
    done = relay(granted.laptop, "retry", second)
    said = done.stderr.decode()
    assert done.returncode == 1 and b"run" not in done.stdout
    assert "does not run again" in said and f"{first}) ended as failed" in said and f"relay retry {first}" in said
    assert relay_json(granted.laptop, "retry", second, status=1)["state"] == "cancelled"
    assert relay(granted.laptop, "retry", first).returncode == 0

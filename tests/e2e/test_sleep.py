"""Work for a broker that sleeps: accepted at once with honest words, done when it is back, whoever was killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from relay.core.frames import MAX_BATCH
from relay.testing import processes, slow_recovery
from tests.e2e.scene import TERMINAL, Scene, error_of, fresh, gone_within, pid_of, relay, relay_json


@pytest.fixture
def asleep(granted: Scene) -> Scene:
    """vps is stopped, and laptop knows."""
    granted.vps.kill()
    processes.wait_until(lambda: granted.laptop.status()["links"] == 0, 10, "the link to be seen gone")
    return granted


def _ask(two: Scene, script: str, *options: str, name: str = "-") -> dict[str, Any]:
    found: dict[str, Any] = relay_json(two.laptop, *two.words("shell", script, name=name), *options)
    return found


def test_a_sleeper_is_answered_for_at_once(asleep: Scene) -> None:
    found = _ask(asleep, "echo awake")
    assert (found["state"], found["attempt"], found["started"]) == ("queued", 0, None)
    ack = found["ack"]
    assert ack.startswith("Queued: vps is asleep (last seen ") and ack.endswith("; it starts when vps is back.")
    assert found["reason"].startswith("vps is asleep") and found["truth"]["from"] == asleep.laptop.id
    (envelope,) = relay_json(asleep.laptop, "outbox")["outgoing"]
    assert (envelope["kind"], envelope["peer"]) == ("spawn", "vps") and "asleep" in envelope["reason"]
    assert [each["id"] for each in relay_json(asleep.laptop, "queue")] == [found["id"]]
    asleep.vps.start()
    assert asleep.until(found["id"], *TERMINAL)["result"]["output_tail"] == "awake\n"
    processes.wait_until(lambda: not relay_json(asleep.laptop, "outbox")["outgoing"], 20, "an empty outbox")


def test_never_seen_is_said_so(asleep: Scene) -> None:
    done = relay(asleep.laptop, *asleep.words("shell", "true"))
    assert done.returncode == 0 and done.stdout.startswith(b"Queued: vps is asleep")
    assert b"relay logs shell-" in done.stderr
    asleep.vps.start()


def test_what_is_asked_of_a_spawn_that_is_on_its_way_comes_before_it(asleep: Scene) -> None:
    """Changed, paused and stopped while its machine sleeps, behind more than one frame: as it stood it never runs."""
    marks = [asleep.vps.work / fresh("mark") for _ in range(3)]
    changed, paused, stopped = (_ask(asleep, f"echo old >> {mark}")["id"] for mark in marks)
    with asleep.laptop.control() as control:
        for _ in range(2 * MAX_BATCH):
            place = {"broker": "vps", "cwd": str(asleep.vps.work)}
            control.post("spawns", {"name": "-", "agent": "exec", "task": "", "argv": ["true"], **place})
    relay_json(asleep.laptop, "edit", changed, f"echo first >> {marks[0]}")
    relay_json(asleep.laptop, "edit", changed, f"echo new >> {marks[0]}")
    relay_json(asleep.laptop, "pause", paused)
    relay_json(asleep.laptop, "stop", stopped)
    asleep.laptop.kill()
    asleep.vps.start()
    relay_json(asleep.vps, "spawn", fresh("warm"), "shell", "true", "--cwd", "new", "--wait")
    asleep.laptop.start()
    assert asleep.until(changed, *TERMINAL, within=30)["state"] == "completed"
    assert marks[0].read_text() == "new\n"
    asleep.until(stopped, "cancelled")
    assert asleep.until(paused, "waiting")["paused"]["by"].endswith(" on laptop")
    relay_json(asleep.laptop, "resume", paused)
    asleep.until(paused, "completed")
    assert [mark.exists() for mark in marks] == [True, True, False]


def test_nothing_is_taken_in_before_what_an_earlier_run_left_is_taken_up(asleep: Scene) -> None:
    """What came while a broker sorted out its attempts was started, and then taken for one of an earlier run."""
    spawns = [_ask(asleep, "sleep 4; echo ran")["id"] for _ in range(3)]
    before, honest = len(asleep.vps.log()), asleep.vps.launcher
    asleep.vps.launcher = slow_recovery.LAUNCHER
    try:
        asleep.vps.start()
        for spawn in spawns:
            assert asleep.until(spawn, *TERMINAL, within=40)["result"]["output_tail"] == "ran\n"
    finally:
        asleep.vps.launcher = honest
    assert "Traceback" not in asleep.vps.log()[before:]


def test_a_schedule_that_was_removed_before_it_arrived_never_runs(asleep: Scene) -> None:
    mark = asleep.vps.work / fresh("mark")
    name = fresh("often")
    _ask(asleep, f"echo run >> {mark}", "--every", "1s", name=name)
    said = relay(asleep.laptop, "schedule", "remove", name).stdout.decode()
    assert said == f"Asked of vps, which has not answered yet: {name} is removed when it hears of it.\n"
    later = _ask(asleep, "sleep 2.5")["id"]
    asleep.vps.start()
    asleep.until(later, "completed")
    assert not mark.exists() and not relay_json(asleep.vps, "schedule", "list")


@pytest.mark.parametrize("killed", ["laptop", "both"])
def test_it_runs_after_either_side_was_killed(asleep: Scene, killed: str) -> None:
    mark = asleep.vps.work / fresh("ran")
    found = _ask(asleep, f"echo once >> {mark}")
    asleep.laptop.kill()
    if killed == "both":
        asleep.vps.start()
        asleep.vps.kill()
    asleep.laptop.start()
    asleep.vps.start()
    asleep.until(found["id"], *TERMINAL)
    assert mark.read_text() == "once\n"


def test_origin_asleep_when_the_result_comes(granted: Scene) -> None:
    """The laptop is closed while its task runs, and finds the result when it wakes."""
    go = granted.vps.work / fresh("go")
    spawn = granted.begin(f"while [ ! -e {go} ]; do sleep 0.02; done; echo well; exit 3")
    granted.until(spawn, "running")
    granted.laptop.kill()
    go.touch()
    granted.until(spawn, "failed", on=granted.vps)
    granted.laptop.start()
    ended = granted.until(spawn, *TERMINAL)
    assert (ended["state"], ended["exit_code"], ended["result"]["output_tail"]) == ("failed", 3, "well\n")
    granted.vps.kill()  # and reads it while the target sleeps
    assert relay(granted.laptop, "result", spawn).stdout == b"well\n"
    assert relay(granted.laptop, "logs", spawn).stdout == b"well\n"


def test_stop_of_what_was_never_sent_ends_it_at_once(asleep: Scene) -> None:
    mark = asleep.vps.work / fresh("must-not-exist")
    spawn = _ask(asleep, f"touch {mark}")["id"]
    stopped = relay_json(asleep.laptop, "stop", spawn)
    assert stopped["state"] == "cancelled" and "never sent" in stopped["reason"]
    assert relay(asleep.laptop, "wait", spawn).returncode == 130
    again = relay(asleep.laptop, "retry", spawn).stderr.decode().split()
    assert again[-2] == "id" and again[-1] != spawn, "whoever waits for the first would not hear of it"
    relay(asleep.laptop, "stop", again[-1])
    assert relay_json(asleep.laptop, "outbox")["outgoing"] == []
    asleep.vps.start()
    asleep.linked()
    later = _ask(asleep, "true")["id"]
    asleep.until(later, "completed")
    assert not mark.exists() and relay(asleep.vps, "show", spawn).returncode == 2


def test_stop_of_what_was_sent_travels(granted: Scene) -> None:
    spawn = granted.begin("sleep 60")
    granted.until(spawn, "running")
    granted.vps.kill()
    processes.wait_until(lambda: granted.laptop.status()["links"] == 0, 10, "the link to be seen gone")
    told = relay(granted.laptop, "stop", spawn)
    assert told.returncode == 0 and b": stop queued; last seen running " in told.stdout, told.stdout
    known = granted.show(spawn)
    assert known["state"] == "running" and known["stop_requested"]  # not called stopped before the target says so
    granted.vps.start()
    ended = granted.until(spawn, *TERMINAL)
    assert (ended["state"], ended["reason"]) == ("cancelled", "stopped by laptop")
    gone_within(spawn)


def test_stop_twice_and_stop_of_what_ended_change_nothing(granted: Scene) -> None:
    spawn = granted.begin("true")
    ended = granted.until(spawn, "completed")
    for _ in range(2):
        stopped = relay_json(granted.laptop, "stop", spawn)
        assert (stopped["state"], stopped["ended"]) == ("completed", ended["ended"])


def test_sigstop_is_a_sleep(granted: Scene) -> None:
    """A machine that hangs: what was asked meanwhile runs when it goes on, once."""
    mark = granted.vps.work / fresh("ran")
    with granted.vps.asleep():
        spawns = [_ask(granted, f"echo x >> {mark}")["id"] for _ in range(3)]
        assert all(granted.show(spawn)["state"] == "queued" for spawn in spawns)
    for spawn in spawns:
        granted.until(spawn, "completed")
    assert mark.read_text() == "x\n" * 3


def test_origin_stopped_and_continued(granted: Scene) -> None:
    file = granted.vps.work / fresh("pid")
    spawn = granted.begin(f"echo $$ > {file}; echo fine")
    with granted.laptop.asleep():
        pid_of(file)
        granted.until(spawn, "completed", on=granted.vps)
    assert granted.until(spawn, "completed")["result"]["output_tail"] == "fine\n"


def test_wait_lives_through_a_restart_of_either_broker(granted: Scene) -> None:
    go = granted.vps.work / fresh("go")
    spawn = granted.begin(f"while [ ! -e {go} ]; do sleep 0.02; done; exit 4")
    granted.until(spawn, "running")
    command = [sys.executable, "-m", "relay", "wait", spawn]
    with subprocess.Popen(command, env=granted.laptop.environment(), stderr=subprocess.PIPE) as waiting:
        assert waiting.stderr is not None and b"Working" in waiting.stderr.readline()  # it waits
        granted.vps.restart()
        granted.laptop.restart()
        go.touch()
        assert waiting.wait(20) == 4
        assert b"failed with exit status 4" in waiting.stderr.read()


def test_one_idempotency_key_is_one_task(asleep: Scene) -> None:
    mark, key = asleep.vps.work / fresh("ran"), fresh("key") + "/2026"
    words = ("--idempotency-key", key)
    script = f"echo once >> {mark}"
    first = _ask(asleep, script, *words)
    asleep.laptop.restart()
    assert _ask(asleep, script, *words)["id"] == first["id"]
    asleep.vps.start()
    asleep.until(first["id"], "completed")
    again = _ask(asleep, script, *words)
    assert (again["id"], again["state"]) == (first["id"], "completed")
    assert mark.read_text() == "once\n"
    other = relay(asleep.laptop, "--json", *asleep.words("shell", "something else"), *words)
    assert other.returncode == 2 and error_of(other)["code"] == "conflict"


def test_a_key_that_comes_again_for_other_work_is_refused(granted: Scene) -> None:
    """Else what ran on one machine would be passed off as what was asked of another."""
    key, work = fresh("key"), granted.vps.work
    other = work / fresh("other")
    other.mkdir()

    def asked(broker: str, folder: Path, *argv: str, options: Sequence[str] = ()) -> list[str]:
        where = ("--broker", broker, "--cwd", str(folder), "--idempotency-key", key, "--wait", *options)
        return ["--json", "spawn", "-", "exec", *where, "--", *argv]

    first = json.loads(relay(granted.laptop, *asked("vps", work, "echo", "a b")).stdout)
    for words in (
        asked("laptop", work, "echo", "a b"),
        asked("vps", other, "echo", "a b"),
        asked("vps", work, "echo", "a", "b"),
    ):
        done = relay(granted.laptop, *words)
        assert (done.returncode, error_of(done)["code"]) == (2, "conflict"), words
    again = relay(granted.laptop, *asked("vps", work, "echo", "a b", options=("--timeout", "7s", "--priority", "3")))
    assert json.loads(again.stdout)["id"] == first["id"], "how it is queued and limited makes it no other work"


def test_a_live_name_is_refused_and_an_ended_one_is_free(granted: Scene) -> None:
    name = fresh("named")
    first = granted.begin("sleep 60", name=name)
    second = relay(granted.laptop, "--json", *granted.words("shell", "true", name=name))
    assert second.returncode == 2 and error_of(second)["code"] == "name_in_use"
    assert name in error_of(second)["hint"] or first in error_of(second)["hint"]
    # on another broker the name is free
    here = relay_json(granted.laptop, "spawn", name, "shell", "true", "--cwd", str(granted.laptop.work), "--wait")
    assert here["state"] == "completed"
    relay(granted.laptop, "stop", f"{name}@vps")
    granted.until(first, "cancelled")
    assert granted.shell("true", name=name, status=0)["name"] == name


def test_a_name_that_lives_on_the_target_is_refused_there(granted: Scene) -> None:
    name = fresh("taken")
    own = relay_json(granted.vps, "spawn", name, "shell", "sleep 60", "--cwd", str(granted.vps.work))["id"]
    refused = granted.shell("true", name=name, status=125)
    assert (refused["state"], refused["error"]["code"]) == ("rejected", "name_in_use")
    relay(granted.vps, "stop", own)


def test_what_comes_after_its_time_to_live_is_not_started(asleep: Scene) -> None:
    mark = asleep.vps.work / fresh("must-not-exist")
    spawn = _ask(asleep, f"touch {mark}", "--ttl", "1s")["id"]
    time.sleep(1.05)
    asleep.vps.start()
    ended = asleep.until(spawn, *TERMINAL)
    assert ended["state"] == "expired" and ended["reason"] and ended["started"] is None
    assert relay(asleep.laptop, "wait", spawn).returncode == 125
    assert not mark.exists()

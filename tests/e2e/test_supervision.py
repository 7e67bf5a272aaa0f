"""What a spawn wishes for from the machine that runs it reaches that machine, and is kept or said not to be."""

from __future__ import annotations

import psutil
import pytest

from relay.testing import processes
from tests.e2e.scene import Scene, gone_within, relay, relay_json


def test_a_machine_that_may_sleep_is_said_while_it_runs_and_after(granted: Scene) -> None:
    go = granted.vps.work / "awake-go"
    spawn = granted.begin(f"echo begun; until [ -e {go} ]; do sleep 0.05; done; exit 3", "--keep-awake")
    running = granted.until(spawn, "running")
    go.touch()
    found = granted.until(spawn, "failed")
    assert found["exit_code"] == 3
    notes = found["result"]["notes"]
    # with a logind the lock is held, and there is nothing to say
    assert notes in ([], [running["reason"].replace("the machine is not", "the machine was not")])
    assert not notes or notes[0].startswith("the machine was not kept awake: ")
    told = relay(granted.laptop, "result", spawn).stderr.decode()
    assert ("note:  the machine was not kept awake" in told) is bool(notes)


def test_a_limit_is_kept_or_nothing_runs(granted: Scene) -> None:
    ran = granted.vps.work / "limited-ran"
    words = granted.words("shell", f"touch {ran}", options=("--memory", "256MiB", "--cpus", "0.5"))
    found = relay_json(granted.laptop, *words, "--wait", status=None)
    if found["state"] != "completed":
        assert (found["state"], found["error"]["code"]) == ("failed", "no_limits")
        assert found["reason"].startswith("its limits cannot be kept: ") and "--memory" in found["error"]["hint"]
    assert ran.exists() is (found["state"] == "completed")


def test_a_retry_of_what_was_stopped_before_it_began_is_not_bound_by_that_stop(granted: Scene) -> None:
    vps = granted.vps
    granted.shell("true")
    (server,) = vps.fork_servers()
    server.suspend()
    spawn = granted.begin("exit 3")
    granted.until(spawn, "starting", on=vps)
    with vps.control() as control:
        control.post(f"spawns/{spawn}/stop", {})
    server.kill()
    assert granted.until(spawn, "cancelled")["reason"] == "stopped before it started"
    relay(vps, "retry", spawn)
    assert granted.until(spawn, "failed")["exit_code"] == 3


def _is_stopped(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False  # an earlier test's, which has ended since it was found


STOPS_ITS_SHIM = ["kill -STOP $PPID", "p=$PPID; (while :; do kill -STOP $p; sleep 0.01; done) &"]


@pytest.mark.parametrize("how", STOPS_ITS_SHIM)
def test_a_task_that_stops_its_own_shim_is_stopped_all_the_same(granted: Scene, how: str) -> None:
    spawn = granted.begin(f"{how}\necho on; exec sleep 300")
    processes.wait_until(lambda: any(map(_is_stopped, granted.vps.shims())), 10, how)
    assert relay(granted.laptop, "stop", spawn, timeout=20).returncode == 0
    assert granted.until(spawn, "cancelled")["reason"] == "stopped by laptop"
    gone_within(spawn)


def test_a_task_that_stops_its_own_shim_is_ended_when_its_time_is_over(granted: Scene) -> None:
    spawns = [granted.begin(f"{how}\necho on; exec sleep 300", "--timeout", "1s") for how in STOPS_ITS_SHIM]
    # the first slot of its record says which process its shim is
    spoilt = 'cd "$(dirname "$RELAY_TOKEN")"; echo nobody | dd of=record conv=notrunc'
    left = (f"sleep 0.5; {spoilt}; kill -STOP $PPID; exec {then}" for then in ("sleep 300", "true"))
    nameless = [granted.begin(script, "--timeout", "1s") for script in left]
    for spawn in spawns:
        assert granted.until(spawn, "timed_out", within=20)["reason"] == "it ran longer than its timeout of 1 s"
        gone_within(spawn)
    for spawn in nameless:
        granted.until(spawn, "failed", "completed", "timed_out", "lost", within=20)
        gone_within(spawn)

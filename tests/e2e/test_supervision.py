"""What a spawn wishes for from the machine that runs it reaches that machine, and is kept or said not to be."""

from __future__ import annotations

from tests.e2e.scene import Scene, relay, relay_json


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

"""The ten promises of the design, one small real scenario each."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from http.client import HTTPException

import psutil
import pytest

from relay.testing import processes
from relay.testing.control import ControlError
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from tests.e2e.forwarding import Forwarder
from tests.e2e.scene import (
    LONGEST,
    TERMINAL,
    Scene,
    fresh,
    gone_within,
    is_alive,
    pid_of,
    relay,
    relay_json,
    tasks_alive,
)


def _asking(node: Node, target: Node, accepted: list[str], done: threading.Event) -> None:
    """Ask for spawns one after the other until the broker is gone, and note each that was accepted."""
    with node.control() as control:
        while not done.is_set():
            try:
                answer = control.spawn("/bin/echo", "x", broker=target.name, cwd=str(target.work))
            except (OSError, HTTPException, ControlError):
                return
            accepted.append(answer["id"])


@pytest.mark.parametrize("target_runs", [True, False])
def test_promise_1_accepted_means_durable(granted: Scene, target_runs: bool) -> None:
    """`kill -9` of the broker in the middle of a burst loses none that was answered."""
    laptop, vps = granted.laptop, granted.vps
    if not target_runs:
        vps.kill()
    accepted: list[str] = []
    done = threading.Event()
    threads = [threading.Thread(target=_asking, args=(laptop, vps, accepted, done)) for _ in range(4)]
    for thread in threads:
        thread.start()
    processes.wait_until(lambda: len(accepted) >= 20, 20, "twenty to be accepted")
    laptop.kill()
    done.set()
    for thread in threads:
        thread.join()
    laptop.start()
    if not target_runs:
        vps.start()
    for spawn in accepted:
        assert granted.until(spawn, *TERMINAL, within=30)["state"] == "completed"


def test_promise_2_at_most_one_start_and_at_least_one_result(granted: Scene) -> None:
    """With broker and shim both killed nobody saw the end: `lost`, not started again, never a success."""
    vps = granted.vps
    starts = vps.work / fresh("starts")
    spawn = granted.begin(f"echo $$ >> {starts}; sleep 60; exit 0")
    granted.until(spawn, "running")
    pid_of(starts)  # it runs before it has written that it does
    vps.kill()
    for shim in vps.shims():
        with suppress(psutil.NoSuchProcess):  # another one's, which has ended since it was found
            if any(spawn in item.path for item in shim.open_files()):
                shim.kill()
    vps.start()
    ended = granted.until(spawn, *TERMINAL)
    assert (ended["state"], ended["error"]["code"], ended["exit_code"]) == ("lost", "task_lost", None)
    assert "may have acted" in ended["reason"]
    assert relay(granted.laptop, "wait", spawn).returncode == 123
    gone_within(spawn)
    assert len(starts.read_text().split()) == 1


def test_promise_3_running_means_running(granted: Scene) -> None:
    """`running` is the target's own word, of a process past its exec; what was never running is never called so."""
    laptop, vps = granted.laptop, granted.vps
    spawn = granted.begin("sleep 60")
    running = granted.until(spawn, "running")
    assert running["truth"]["from"] == vps.id
    assert any("sleep" in " ".join(each.cmdline()) for each in tasks_alive(spawn))
    vps.kill()
    processes.wait_until(lambda: laptop.status()["links"] == 0, 10, "the link to be seen gone")
    later = granted.show(spawn)
    assert (later["state"], later["truth"]) == ("running", running["truth"])  # the last word and when it was said
    assert later["exit_code"] is None and later["ended"] is None
    vps.start()
    granted.linked()
    relay(laptop, "stop", spawn)
    missing = relay_json(laptop, *granted.words("exec", "no-such-program"))["id"]
    relay(laptop, "wait", missing)
    events = relay(laptop, "events", "--json").stdout.decode()
    states = [line for line in events.splitlines() if missing in line]
    assert states and not any('"running"' in line for line in states)


def test_promise_4_failure_is_never_dressed_as_success(granted: Scene) -> None:
    """Each way to fail ends as a failure that names its cause and the next step."""
    cases = {
        "exit 1": ("exit_nonzero", LONGEST),
        "kill -9 $$": ("killed_by_signal", LONGEST),
        "kill -15 $$": ("killed_by_signal", LONGEST),
        "sleep 60": ("task_timed_out", "1s"),
        "/nonexistent/program": ("exit_nonzero", LONGEST),
    }
    for script, (code, timeout) in cases.items():
        ended = granted.shell(script, "--timeout", timeout)
        assert ended["state"] in ("failed", "timed_out") and ended["error"]["code"] == code, script
        assert ended["reason"] and ended["error"]["hint"] and ended["result"]["outcome"] == "error"


def test_promise_5_default_deny(two: Scene) -> None:
    """With an empty allowlist nothing remote runs, whatever is asked for, and nobody may grant it to himself."""
    mark = two.vps.work / fresh("must-not-exist")
    for work in (("shell", f"touch {mark}"), ("exec", "touch", str(mark)), ("claude", "x")):
        words = two.words(*work, options=("--wait",))
        assert relay_json(two.laptop, *words, status=125)["error"]["code"] == "no_grant"
    # a grant that laptop writes down is about laptop, not about vps
    relay(two.laptop, "trust", "allow", "vps", "--profile", "full", "--dir", "/")
    assert two.shell(f"touch {mark}", status=125)["error"]["code"] == "no_grant"
    assert not mark.exists()


SECRET = "the-plain-text-of-a-task"


def test_promise_6_no_reader_in_the_middle(mesh: Mesh) -> None:
    """Neither the outbox at rest nor what crosses the wire holds a task's text."""
    laptop, vps = mesh.pair("laptop", "vps")
    mesh.grant(on=vps, to=laptop)
    scene = Scene(mesh, laptop, vps)
    with Forwarder.in_front_of(laptop) as before_laptop, Forwarder.in_front_of(vps) as before_vps:
        laptop.start()
        spawn = scene.begin(f"echo {SECRET} | tr a-z A-Z")
        assert scene.show(spawn)["state"] == "queued"
        laptop.kill()
        with closing(sqlite3.connect(f"file:{laptop.home}/relay.db?mode=ro", uri=True)) as store:
            rows = store.execute("SELECT envelope FROM outbox WHERE spawn = ?", (spawn,)).fetchall()
        assert len(rows) == 1 and SECRET.encode() not in bytes(rows[0][0])
        vps.start()
        laptop.start()
        assert scene.until(spawn, *TERMINAL)["result"]["output_tail"] == SECRET.upper() + "\n"
        wire = before_laptop.seen() + before_vps.seen()
    assert len(wire) > 2000
    assert SECRET.encode() not in wire and SECRET.upper().encode() not in wire


def test_promise_7_local_work_needs_nobody(granted: Scene) -> None:
    """With every peer gone, work on this machine goes as ever."""
    granted.vps.kill()
    words = ("spawn", "-", "shell", "echo alone", "--cwd", str(granted.laptop.work), "--wait")
    done = relay(granted.laptop, *words)
    assert (done.returncode, done.stdout) == (0, b"alone\n")


@pytest.mark.parametrize("end", [Node.kill, Node.stop])
def test_promise_8_a_restart_does_not_touch_what_runs(granted: Scene, end: Callable[[Node], object]) -> None:
    """The task lives on while its broker is gone, and its exit code and output are not lost."""
    vps = granted.vps
    file, go = vps.work / fresh("pid"), vps.work / fresh("go")
    script = f"echo before; echo $$ > {file}; while [ ! -e {go} ]; do sleep 0.02; done; echo after; exit 5"
    spawn = granted.begin(script)
    pid = pid_of(file)
    end(vps)
    assert is_alive(pid)
    go.touch()
    processes.wait_until(lambda: not is_alive(pid), 10, "the task to end by itself")
    vps.start()
    ended = granted.until(spawn, *TERMINAL)
    assert (ended["state"], ended["exit_code"], ended["attempt"]) == ("failed", 5, 1)
    assert ended["result"]["output_tail"] == "before\nafter\n"


TREES = {
    "child in the background": "sleep 300 & exit 0",
    "its own session": "setsid sleep 300 & sleep 0.2; exit 0",
    "deaf to signals": "(trap '' INT TERM HUP; sleep 300; sleep 300) & sleep 0.1; exit 0",
    "daemon": "(setsid sh -c 'sleep 300 & sleep 300' >/dev/null 2>&1 </dev/null &) ; sleep 0.2; exit 0",
}


@pytest.mark.parametrize("tree", TREES)
def test_promise_9_nothing_outlives_its_task(granted: Scene, tree: str) -> None:
    """Five seconds after the end no process of the tree is alive."""
    spawn = granted.begin(TREES[tree])
    ended = granted.until(spawn, *TERMINAL, within=20)
    assert ended["state"] == "completed"
    gone_within(spawn, 5)


def test_promise_10_presence_is_for_wording_only(granted: Scene) -> None:
    """A broker that looks online and one that looks offline are sent the same; only the words differ."""
    laptop, vps = granted.laptop, granted.vps
    with vps.asleep():
        looks_online = relay_json(laptop, *granted.words("shell", "true"))
        assert looks_online["state"] == "queued" and looks_online["ack"] == "Sent to vps; no word yet."
    granted.until(looks_online["id"], "completed")
    vps.kill()
    processes.wait_until(lambda: laptop.status()["links"] == 0, 10, "the link to be seen gone")
    looks_offline = relay_json(laptop, *granted.words("shell", "true"))
    assert looks_offline["state"] == "queued" and looks_offline["ack"].startswith("Queued: vps is asleep (last seen")
    vps.start()
    granted.until(looks_offline["id"], "completed")


def test_waiting_costs_next_to_nothing(granted: Scene) -> None:
    """A broker whose peer is gone does not spin."""
    granted.vps.kill()
    assert granted.laptop.process is not None
    process = psutil.Process(granted.laptop.process.pid)
    granted.begin("true")
    time.sleep(0.3)
    before = sum(process.cpu_times()[:2])
    time.sleep(1.0)
    assert sum(process.cpu_times()[:2]) - before < 0.25



"""A task that spoils files of its own attempt's folder, or of those made for others: the broker and they go on."""

from __future__ import annotations

import json
import struct
import sys
import zlib
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from relay.spawn.shim import record
from relay.testing import processes
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from tests.e2e.scene import fresh, is_alive, pid_of, relay_json

OWN = 'cd "$(dirname "$RELAY_TOKEN")"; '
OTHERS = OWN + "for each in ../spare-*; do (cd $each; {}); done"
WITHIN = 15.0
PYTHON = f"{sys.executable} -c "
MUCH = "head -c 40000 /dev/zero | tr '\\0' x; sleep 0.3; "
SPOILT_LOGS = (
    *("rm log; mkfifo log", "rm log; mkdir log", "rm log; ln -s log log", "rm log; ln -s /dev/zero log"),
    *("truncate -s 4T log", f"{MUCH} rm log", f"{MUCH} rm log; mkdir log", f"{MUCH} : > log"),
    *(f"truncate -s 65536 log; {more}" for more in ("touch log.²", f"echo x > log.{'9' * 40}", "mkfifo log.65536")),
)
AWAY = "cd ..; here=$(basename $OLDPWD); rm -r $here; "
SPOILT_FOLDERS = tuple(AWAY + more for more in ("touch $here", "mkfifo $here", "ln -s $here $here"))
EXIT: dict[str, Any] = {"exit_code": 0, "signal": None, "timed_out": False, "stopped": False, "started_at": 1}
EXIT |= {"ended_at": 2, "error": None, "survivors": 0, "log_bytes": 0}
SPOILT_SLOTS: dict[str, tuple[int, Any]] = {
    "no JSON": (record.EXIT, b"\xff{{"),
    "no map": (record.EXIT, [1, 2]),
    "little": (record.EXIT, {"exit_code": 0}),
    "code": (record.EXIT, EXIT | {"exit_code": "0"}),
    "great code": (record.EXIT, EXIT | {"exit_code": 5_000}),
    "signal": (record.EXIT, EXIT | {"signal": -5}),
    "times": (record.EXIT, EXIT | {"started_at": "x", "ended_at": None}),
    "error": (record.EXIT, EXIT | {"error": {"a": 1}}),
    "length": (record.EXIT, EXIT | {"log_bytes": "x"}),
    "start": (record.STARTED, {"pid": "x", "ticks": [], "at": {}}),
    "stop": (record.STOP, [[]]),
    "promise": (record.INTENT, {"shim": 1, "ticks": "x", "boot": 5, "protocol": {}, "at": "y"}),
}


@pytest.fixture(scope="module")
def _node() -> Iterator[Node]:
    with Mesh.scratch("relay-hostile-") as mesh:
        made = mesh.add("one", started=False)
        made.configure("max_parallel = 64")
        made.start()
        yield made


@pytest.fixture
def node(_node: Node) -> Iterator[Node]:
    yield _node
    assert "Traceback" not in _node.log(), _node.log_tail()


def _run(node: Node, script: str, *options: str) -> Any:
    """The state in which it ends; on this node nothing else runs meanwhile."""
    words = ("spawn", fresh(), "shell", script, "--cwd", str(node.work), "--timeout", "30s", *options)
    spawn = relay_json(node, *words)["id"]

    def ended() -> Any:
        state = relay_json(node, "show", spawn)["state"]
        return state if state not in ("queued", "starting", "running") else None

    return processes.wait_until(ended, WITHIN, "its end")


def _written(number: int, said: Any) -> str:
    """What writes this into the slot of this number of its own record."""
    payload = said if isinstance(said, bytes) else json.dumps(said).encode()
    slot = (struct.pack("<II", len(payload), zlib.crc32(payload)) + payload).hex()
    program = f"import os; os.pwrite(os.open('record', os.O_RDWR), bytes.fromhex('{slot}'), {number * 512})"
    return f'{PYTHON} "{program}"'


def test_a_pipe_in_the_place_of_a_token_does_not_hold_the_broker_up(node: Node) -> None:
    spoil = OWN + "rm token; mkfifo token; "
    assert _run(node, spoil + "exit 0") == "completed"
    assert _run(node, spoil + "kill -9 $PPID; sleep 60") == "lost"
    assert _run(node, "exit 0") == "completed"


def test_a_folder_in_the_place_of_a_token_does_not_hold_up_what_follows_its_end(node: Node) -> None:
    assert _run(node, OWN + "rm token; mkdir token; touch token/x") == "completed"
    assert _run(node, "exit 0") == "completed"


@pytest.mark.parametrize(
    "spoil",
    [
        *("rm lock", "rm lock; mkdir lock", "rm token; mkfifo token", "rm record; mkfifo record", "rm record"),
        *("rm -r ../$(basename $PWD)", "rm log; mkfifo log", "cd ..; rm -r $OLDPWD; mkfifo $OLDPWD"),
    ],
)
def test_folders_that_were_spoilt_before_they_were_used_are_used_for_nothing(node: Node, spoil: str) -> None:
    assert _run(node, OTHERS.format(spoil)) == "completed"
    assert [_run(node, "exit 0") for _ in range(3)] == ["completed"] * 3


@pytest.mark.parametrize("name", ["door", "log.65536", "log; echo forged > log"])
def test_what_was_put_beside_the_files_of_folders_that_are_yet_to_be_used_is_nobody_s(node: Node, name: str) -> None:
    assert _run(node, OTHERS.format(f"touch {name}")) == "completed"
    assert [_run(node, "exit 0", "--stdin") for _ in range(4)] == ["completed"] * 4


@pytest.mark.parametrize("then", ["", "until grep -q spoilt log; do sleep 0.02; done; kill -STOP $PPID; "])
@pytest.mark.parametrize("spoil", ["rm record; mkfifo record", "rm record; mkdir record; touch record/x"])
def test_a_record_that_is_none_neither_holds_a_start_up_nor_keeps_its_task_alive(
    node: Node, spoil: str, then: str
) -> None:
    words = ("spawn", fresh(), "shell", f"{OWN}{spoil}; echo spoilt; {then}sleep 60", "--cwd", str(node.work))
    spawn = relay_json(node, *words)["id"]
    processes.wait_until(lambda: "spoilt" in node.relay("logs", spawn).stdout, WITHIN, "its word")
    processes.wait_until(lambda: relay_json(node, "show", spawn)["state"] == "running", WITHIN, "its start")
    processes.wait_until(lambda: any(map(_is_stopped, node.shims())) == bool(then), WITHIN, "what it does to its shim")
    node.kill()
    node.start()
    processes.wait_until(lambda: relay_json(node, "show", spawn)["state"] == "lost", WITHIN, "its end")
    processes.wait_until(lambda: not processes.tasks_left(node.scratch), 5.0, "nothing left")
    processes.wait_until(lambda: not any(map(_is_stopped, node.shims())), 5.0, "its shim to go on")
    assert _run(node, "exit 0") == "completed"


def test_a_task_that_puts_its_record_away_and_ends_while_no_broker_runs_is_lost(node: Node) -> None:
    go = node.work / fresh()
    script = f"{OWN}rm record; until [ -e {go} ]; do sleep 0.02; done"
    spawn = relay_json(node, "spawn", fresh(), "shell", script, "--cwd", str(node.work))["id"]
    processes.wait_until(lambda: relay_json(node, "show", spawn)["state"] == "running", WITHIN, "its start")
    node.kill()
    go.touch()
    processes.wait_until(lambda: not processes.tasks_left(node.scratch), 5.0, "its end")
    node.start()
    processes.wait_until(lambda: relay_json(node, "show", spawn)["state"] == "lost", WITHIN, "that it is told")


def test_a_task_that_puts_its_record_away_and_kills_its_shim_is_not_run_again(node: Node) -> None:
    ran = node.work / fresh()
    script = f"{OWN}echo >> {ran}; rm record; kill -9 $PPID; sleep 60"
    assert [_run(node, script) for _ in range(4)] == ["lost"] * 4
    assert ran.read_text() == "\n" * 4


@pytest.mark.parametrize("spoil", ["rm record", "rm record; mkfifo record", "rm -r ../$(basename $PWD)"])
def test_a_task_that_puts_its_record_away_is_stopped_all_the_same(node: Node, spoil: str) -> None:
    went_on = node.work / fresh("went-on")
    words = ("spawn", fresh(), "shell", f"{OWN}{spoil}; sleep 60; touch {went_on}", "--cwd", str(node.work))
    spawn = relay_json(node, *words, "--retries", "1")["id"]
    processes.wait_until(lambda: relay_json(node, "show", spawn)["state"] == "running", WITHIN, "its start")
    with node.control() as control:
        control.post(f"spawns/{spawn}/stop", {"requested_by": "ann"})
    processes.wait_until(lambda: not processes.tasks_left(node.scratch), 5.0, "its end")
    over = ("completed", "failed", "cancelled", "lost")
    processes.wait_until(lambda: relay_json(node, "show", spawn)["state"] in over, WITHIN, "that it is told")
    assert relay_json(node, "show", spawn)["state"] == "cancelled" and not went_on.exists()
    assert _run(node, "exit 0") == "completed"


@pytest.mark.parametrize("spoil", SPOILT_LOGS)
def test_a_log_that_is_none_holds_up_neither_its_own_end_nor_the_broker(node: Node, spoil: str) -> None:
    assert _run(node, f"echo hi; {OWN}{spoil}; exit 0") == "completed"
    (shown, *_) = relay_json(node, "ps", "--all", "--limit", "1")
    for words in ((), ("--tail", "3"), ("--since", "1h")):
        node.relay("logs", shown["id"], *words, timeout=WITHIN)
    assert _run(node, "exit 0") == "completed"


@pytest.mark.parametrize("slot", SPOILT_SLOTS)
def test_a_record_that_says_what_no_shim_says_is_not_believed(node: Node, slot: str) -> None:
    number, said = SPOILT_SLOTS[slot]
    over = "cancelled" if number == record.STOP else "completed"
    assert _run(node, OWN + _written(number, said)) == over
    assert _run(node, OWN + _written(number, said) + "; sleep 1") == over


@pytest.mark.parametrize("hidden", ["", "kill -STOP $PPID; ", "exec env -i setsid "])
def test_a_task_that_writes_its_own_end_does_not_outlive_it(node: Node, hidden: str) -> None:
    pid_file = node.work / fresh()
    stays = f"{hidden}sh -c 'echo $$ > {pid_file}; exec sleep 60'"
    assert _run(node, f"{OWN}{_written(record.EXIT, EXIT)}; {stays}") == "completed"
    pid = pid_of(pid_file)
    processes.wait_until(lambda: not is_alive(pid), 5.0, "that nothing of it is left")
    processes.wait_until(lambda: not any(map(_is_stopped, node.shims())), 5.0, "its shim to go on")
    assert _run(node, "exit 0") == "completed"


def _is_stopped(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False


def test_what_was_spoilt_is_taken_up_by_the_next_broker(node: Node) -> None:
    spoils = [*SPOILT_LOGS, *SPOILT_FOLDERS, *(_written(*each) for each in SPOILT_SLOTS.values())]
    place = ("--cwd", str(node.work), "--timeout", "60s")
    scripts = [f"echo hi; {OWN}{spoil}; touch {node.work}/spoilt-{n}; sleep 6" for n, spoil in enumerate(spoils)]
    spawns = [relay_json(node, "spawn", fresh(), "shell", script, *place)["id"] for script in scripts]
    processes.wait_until(lambda: len(list(node.work.glob("spoilt-*"))) == len(spoils), WITHIN, "all of them")
    node.kill()
    node.start()
    of = dict(zip(spawns, scripts, strict=True))

    def left() -> list[str]:
        over = ("completed", "cancelled", "lost")
        return [script for spawn, script in of.items() if relay_json(node, "show", spawn)["state"] not in over]

    try:
        processes.wait_until(lambda: not left(), 60, "the end of all of them")
    except TimeoutError as error:
        raise AssertionError(left()) from error
    processes.wait_until(lambda: not processes.tasks_left(node.scratch), 5.0, "nothing left")


def test_pipes_in_the_place_of_what_a_start_sorts_out_do_not_hold_it_up(node: Node) -> None:
    fresh_ones = "mkfifo ../spare-aaaaaaaaaaaa ../../worktrees/.scratch-x; mkdir ../spare-bbbbbbbbbbbb; "
    assert _run(node, f"{OWN}mkdir -p ../../worktrees; {fresh_ones} mkfifo ../spare-bbbbbbbbbbbb/record") == "completed"
    node.kill()
    node.start()
    assert _run(node, "exit 0") == "completed"
    left = [*node.home.glob("attempts/spare-aaaaaaaaaaaa"), *node.home.glob("worktrees/.scratch-*")]
    assert not left and not (node.home / "attempts/spare-bbbbbbbbbbbb").exists()

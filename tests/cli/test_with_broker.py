"""What the verbs make of a broker's answers: output, exit status, Ctrl-C."""

from __future__ import annotations

import base64
import json
import os
import pty
import re
import signal
import subprocess
from typing import Any

import pytest

from relay.api.home import Home
from relay.testing.processes import wait_until
from tests.api.canned_broker import NOW, RUNNING, CannedBroker, serving, spawn
from tests.cli.conftest import COMMAND, Relay


def test_spawn_answers_with_its_ack(relay: Relay, broker: CannedBroker) -> None:
    broker.spawns["build"] = [spawn(**RUNNING)]
    options = ("--broker", "vps", "--label", "k=v", "--idempotency-key", "op1")
    done = relay("spawn", "build", "shell", "make test", *options)
    assert (done.returncode, done.stdout) == (0, "Started on vps.\n")
    assert "relay logs build@vps -f" in done.stderr
    _, body = broker.asked[0]
    assert body["operation"] == "op1" and body["labels"] == {"k": "v"} and body["requested_by"] == "ann"
    assert body["task"] == "make test" and body["broker"] == "vps" and body["cwd"] is None


def test_spawn_exec_keeps_the_words(relay: Relay, broker: CannedBroker) -> None:
    relay("spawn", "build", "exec", "--broker", "vps", "--", "make", "--json", "-j 4")
    assert broker.asked[0][1]["argv"] == ["make", "--json", "-j 4"]


def test_spawn_reads_its_task_from_stdin(relay: Relay, broker: CannedBroker) -> None:
    relay("spawn", "build", "claude", "-", typed="line one\nline two")
    assert broker.asked[0][1]["task"] == "line one\nline two"


def test_spawn_wait_prints_the_result(relay: Relay, broker: CannedBroker) -> None:
    broker.spawns["build"] = [spawn(**RUNNING), spawn()]
    done = relay("spawn", "build", "shell", "x", "--wait")
    assert (done.returncode, done.stdout, done.stderr) == (0, "all\nwell\n", "")
    broker.spawns["build"] = [spawn(**RUNNING), spawn()]
    assert json.loads(relay("spawn", "build", "shell", "x", "--wait", "--json").stdout) == spawn()


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"state": "failed", "exit_code": 7}, 7, "failed with exit status 7"),
        ({"state": "rejected", "error": {"code": "no_grant", "message": "no", "hint": "allow"}}, 125, "refused"),
        ({"state": "lost"}, 123, "lost"),
        ({"state": "timed_out"}, 124, "time was over"),
    ],
)
def test_spawn_wait_exits_as_the_task_did(
    relay: Relay, broker: CannedBroker, changes: dict[str, Any], status: int, words: str
) -> None:
    broker.spawns["build"] = [spawn(**RUNNING), spawn(**changes)]
    done = relay("spawn", "build", "shell", "x", "--wait")
    assert done.returncode == status
    assert words in done.stderr and "try:" in done.stderr


def test_a_refused_name_is_told(relay: Relay, broker: CannedBroker) -> None:
    done = relay("spawn", "taken", "shell", "x")
    assert done.returncode == 2
    assert done.stderr.splitlines() == ["error: there is one", "why:   it lives", "try:   relay stop taken"]


def test_wait_of_many_takes_the_first_that_is_not_0(relay: Relay, broker: CannedBroker) -> None:
    bad, worse = spawn(id="b" * 16, state="failed", exit_code=4), spawn(id="w" * 16, state="lost")
    broker.spawns |= {"good": [spawn()], "bad": [bad], "worse": [worse]}
    done = relay("wait", "good", "bad", "worse")
    assert done.returncode == 4
    assert len(json.loads(relay("wait", "good", "bad", "--json").stdout)) == 2
    assert relay("wait", "nobody").returncode == 2


def test_logs_are_the_bytes_as_they_were(environment: dict[str, str], broker: CannedBroker) -> None:
    odd = b"\xff\xfe\x1b[31m"
    broker.log = [
        {"at": NOW, "stream": "out", "data": "caf\u00e9\n", "next": 6},
        {"at": NOW, "stream": "out", "data": "", "raw": base64.b64encode(odd).decode(), "next": 9},
        {"at": NOW, "stream": "err", "data": "oops\n", "next": 14},
    ]
    done = subprocess.run([*COMMAND, "logs", "build"], capture_output=True, env=environment, timeout=30)
    assert (done.stdout, done.stderr) == ("café\n".encode() + odd, b"oops\n")
    as_json = subprocess.run([*COMMAND, "logs", "build", "--json"], capture_output=True, env=environment, timeout=30)
    assert [json.loads(line) for line in as_json.stdout.splitlines()] == broker.log


def test_a_gap_in_a_log_is_said_and_is_no_output(relay: Relay, broker: CannedBroker) -> None:
    broker.log = [
        {"at": NOW, "stream": "out", "data": "begun\n", "next": 18},
        {"at": NOW, "stream": "gap", "data": "", "next": 3_145_746, "missing": 3 << 20},
        {"at": NOW, "stream": "out", "data": "ended\n", "next": 3_145_764},
    ]
    done = relay("logs", "build")
    assert done.stdout == "begun\nended\n"
    assert done.stderr == "[3.0 MiB of its log are no longer kept: log_limit on that machine]\n"


@pytest.mark.parametrize(("option", "look"), [("--tty", "attach build@vps"), ("--mode=edit", "logs build@vps -f")])
def test_what_is_typed_to_is_attached_to_next(relay: Relay, broker: CannedBroker, option: str, look: str) -> None:
    broker.spawns["build"] = [spawn(**RUNNING)]
    told = relay("spawn", "build", "shell", "x", option).stderr
    assert told.rstrip().endswith(look), told


def test_limits_and_staying_awake_are_asked_for(relay: Relay, broker: CannedBroker) -> None:
    relay("spawn", "build", "shell", "x", "--memory", "1.5GiB", "--cpus", "0.5", "--keep-awake")
    assert {"memory": 3 << 29, "cpus": 0.5, "keep_awake": True}.items() <= broker.asked[0][1].items()
    for words in (("--memory", "lots"), ("--memory", "5"), ("--cpus", "-1"), ("--cpus", "0"), ("--cpus", "inf")):
        done = relay("spawn", "build", "shell", "x", *words)
        assert done.returncode == 2 and "try:" in done.stderr
    assert len(broker.asked) == 1


def test_what_befell_a_run_is_noted(relay: Relay, broker: CannedBroker) -> None:
    result = spawn()["result"] | {"notes": ["the machine was not kept awake: no systemd-inhibit"]}
    broker.spawns["build"] = [spawn(result=result)]
    done = relay("result", "build")
    assert (done.returncode, done.stderr) == (0, "note:  the machine was not kept awake: no systemd-inhibit\n")


def test_follow_copies_the_log_and_exits_as_the_task_did(relay: Relay, broker: CannedBroker) -> None:
    broker.log = [{"at": NOW, "stream": "out", "data": "step 1\n", "next": 7}]
    broker.spawns["build"] = [spawn(**RUNNING), spawn(state="failed", exit_code=2)]
    done = relay("spawn", "build", "shell", "x", "--follow")
    assert (done.returncode, done.stdout) == (2, "step 1\n")
    broker.spawns["build"] = [spawn(**RUNNING), spawn()]
    lines = [json.loads(line) for line in relay("spawn", "build", "shell", "x", "-f", "--json").stdout.splitlines()]
    assert [lines[0]["state"], lines[1]["data"], lines[-1]["state"]] == ["running", "step 1\n", "completed"]


@pytest.mark.parametrize("words", ["spawn build shell x --wait", "wait build", "logs build -f"])
def test_ctrl_c_leaves_it_running_and_says_so(
    environment: dict[str, str], broker: CannedBroker, words: str
) -> None:
    broker.spawns["build"] = [spawn(**RUNNING)]
    broker.log_hangs = True
    broker.log = [{"at": NOW, "stream": "out", "data": "begun\n", "next": 6}]
    command = [*COMMAND, *words.split()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    wait_until(lambda: broker.waited_for, 20, "it to wait")
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=10)
    assert process.returncode == 130
    assert b"is left as it is: Working" in told and b"relay wait build@vps" in told
    assert not any(path.endswith("/stop") for path, _ in broker.asked)


def test_what_was_taken_is_not_said_not_to_have_run_once_its_broker_is_gone(
    environment: dict[str, str], home: Home
) -> None:
    broker = CannedBroker()
    broker.spawns["build"] = [spawn(**RUNNING)]
    with serving(home, broker):
        process = subprocess.Popen([*COMMAND, "spawn", "build", "shell", "x", "--wait"], env=environment)
        wait_until(lambda: broker.waited_for, 20, "it to wait")
        os.unlink(home.workspace_key)  # else it waits half a minute for one to be back
    assert process.wait(20) == 1


@pytest.mark.parametrize(
    ("result", "told"),
    [({"processes_left": 0}, "build: stopped on vps; 0 processes left\n"),
     ({}, "build: stopped on vps; it was waiting for attempt 2\n")],
)  # fmt: skip
def test_what_was_stopped_as_it_started_waited_for_no_attempt(
    relay: Relay, broker: CannedBroker, result: dict[str, Any], told: str
) -> None:
    stopped = {"state": "cancelled", "started": None, "exit_code": None, "result": result}
    broker.spawns["build"] = [spawn(**stopped, stop={"state": "stopped", "before": "waiting"})]
    assert relay("stop", "build").stdout == told
    if not result:
        broker.spawns["build"][0]["reason"] = "stopped before it started"
        assert relay("stop", "build").stdout == "build: stopped on vps; it had not begun\n"


def test_names_and_tasks_cannot_steer_the_terminal(relay: Relay, broker: CannedBroker) -> None:
    evil = "x\x1b]0;owned\x07"
    broker.spawns["build"] = [spawn(name=evil, task=evil, reason=evil, cwd=evil, labels={evil: evil}, agent=evil)]
    for words in (("ps", "--all"), ("show", "build"), ("wait", "build"), ()):
        done = relay(*words)
        assert done.returncode == 0
        assert "\x1b" not in done.stdout + done.stderr and "\\x1b" in done.stdout


def test_a_table_is_coloured_only_for_a_person(environment: dict[str, str], broker: CannedBroker) -> None:
    assert b"\x1b[" in _on_terminal(environment | {"TERM": "xterm"})
    assert b"\x1b[" not in _on_terminal(environment | {"TERM": "xterm", "NO_COLOR": "1"})


def _on_terminal(environment: dict[str, str]) -> bytes:
    ours, theirs = pty.openpty()
    with subprocess.Popen([*COMMAND, "ps", "--all"], stdout=theirs, stdin=theirs, stderr=theirs, env=environment):
        os.close(theirs)
        seen = b""
        try:
            while piece := os.read(ours, 4096):
                seen += piece
        except OSError:
            pass  # the other side of a terminal ends with EIO
    os.close(ours)
    assert b"build" in seen
    return seen


def test_a_reader_that_leaves_is_no_error(environment: dict[str, str], broker: CannedBroker) -> None:
    # as JSON it is more than a pipe and its reader hold: it cannot have ended before the reader leaves
    words = [*COMMAND, "events", "--json"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(10) == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no file that is always full")
@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize(
    "words",
    [
        *("ps --all", "ps --all --json", "show build", "logs build", "logs build -f", "version", "--help"),
        *("status --short", "spawn build shell x --json", "spawn build shell x --wait", "show nobody --json"),
    ],
)
def test_an_output_that_takes_nothing_is_said_and_no_reason_to_ask_again(
    environment: dict[str, str], broker: CannedBroker, words: str, buffered: str
) -> None:
    broker.log = [{"at": NOW, "stream": "out", "data": "begun\n", "next": 6}]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, *words.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment | {"PYTHONUNBUFFERED": buffered},
        )
    assert done.returncode == (2 if "nobody" in words else 1)
    unwritten = b"error: what it prints cannot be written\nwhy:   No space left on device\ntry: "
    assert done.stderr.startswith(b"error: no spawn nobody" if "nobody" in words else unwritten)
    assert b"Traceback" not in done.stderr and b"ignored" not in done.stderr and b"again" not in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no file that is always full")
def test_an_error_that_nobody_can_be_told_leaves_its_status(environment: dict[str, str]) -> None:
    with open("/dev/full", "w") as full:
        assert subprocess.run([*COMMAND, "shwo"], stderr=full, env=environment).returncode == 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no file that is always full")
def test_who_prints_nothing_needs_no_room_for_it(environment: dict[str, str], broker: CannedBroker) -> None:
    broker.spawns = {}
    with open("/dev/full", "w") as full:
        assert subprocess.run([*COMMAND, "ps"], stdout=full, env=environment).returncode == 0


def test_a_task_from_an_input_that_is_closed(environment: dict[str, str], broker: CannedBroker) -> None:
    script = f"{' '.join(COMMAND)} spawn build shell - <&-"
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, env=environment)
    assert done.returncode == 2 and done.stderr.startswith(b"error: there is no task\n") and not broker.asked


def test_bare_relay_tells_once_what_has_ended(relay: Relay, broker: CannedBroker, home: Home) -> None:
    broker.spawns |= {"asks": [spawn(name="asks", state="needs_input", reason="no output")]}
    first = relay()
    assert "relay result abcdefgh" in first.stdout and "asks on vps needs you: no output" in first.stdout
    second = relay()
    assert "nothing has ended" in second.stdout or "relay result" not in second.stdout
    assert "asks on vps needs you" in second.stdout
    assert os.path.exists(home.seen)


def test_result_of_what_has_not_ended(relay: Relay, broker: CannedBroker) -> None:
    broker.spawns["build"] = [spawn(**RUNNING)]
    done = relay("result", "build")
    assert (done.returncode, done.stdout) == (1, "")
    assert "relay wait build@vps" in done.stderr


def test_a_changed_grant_is_told_to_the_broker(relay: Relay, home: Home, environment: dict[str, str]) -> None:
    relay("init", "--name", "laptop")
    from tests.api.canned_broker import serving

    canned = CannedBroker()
    with serving(home, canned):
        assert relay("trust", "allow", "laptop", "--profile", "read-only").returncode == 0
    # before it is written, to hear whether a task asks, which changes nothing; and after
    assert [path for path, _ in canned.asked] == ["/api/v1/person", "/api/v1/grants/changed"]


def test_a_setting_of_a_broker_that_runs_says_how_it_is_taken_in(relay: Relay, broker: CannedBroker) -> None:
    relay("init")
    done = relay("config", "set", "max_parallel", "8")
    assert "keeps the old max_parallel" in done.stderr
    assert re.search(r"\ntry:   relay .*down && relay .*up --detach\n$", done.stderr)

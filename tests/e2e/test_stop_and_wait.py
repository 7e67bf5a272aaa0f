"""What `stop` says it left, `wait` for many with a deadline, and what never ran."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.e2e.scene import Scene, error_of, fresh, gone_within, relay, relay_json, started

CLOCK = rb"[0-2][0-9]:[0-5][0-9]"


def _running(two: Scene, script: str = "sleep 80") -> tuple[str, str]:
    name = fresh("s")
    spawn = two.begin(script, name=name)
    two.until(spawn, "running")
    return name, spawn


# stop


def test_stop_says_what_it_left_and_how_it_ended(granted: Scene) -> None:
    deaf = "trap '' TERM INT HUP; sleep 81; sleep 81"
    name, spawn = _running(granted, f'(setsid sh -c "{deaf}" &) ; sleep 82')
    done = relay(granted.laptop, "stop", spawn)
    assert done.returncode == 0
    shown = granted.show(spawn)
    assert shown["state"] == "cancelled"  # nothing has to be waited for after it
    # by the first signal, unless it was kept from taking it for a second
    assert shown["signal"] in (15, 9)
    said = f"{name}: stopped on vps; 0 processes left; it ended by signal {shown['signal']}\n"
    assert done.stdout.decode() == said
    gone_within(spawn)
    again = relay(granted.laptop, "stop", spawn)
    assert re.fullmatch(
        rf"{name} on vps was stopped \(".encode() + CLOCK + rb"\); there was nothing left to stop\n", again.stdout
    )


def test_an_end_says_who_asked_for_it(granted: Scene) -> None:
    _, spawn = _running(granted)
    relay(granted.vps, "stop", spawn, LOGNAME="jürgen")
    assert granted.until(spawn, "cancelled")["reason"] == "stopped by jürgen"
    _, spawn = _running(granted)
    relay(granted.laptop, "stop", spawn, LOGNAME="ann")
    assert granted.show(spawn)["reason"] == "stopped by laptop", "on its target the other broker is who asked"


def test_stop_of_several_is_one_word_on_each(granted: Scene) -> None:
    (_, first), (_, second) = _running(granted), _running(granted, "trap '' INT TERM; sleep 83")
    ended = str(granted.shell("true")["id"])
    told = relay_json(granted.laptop, "stop", first, second, ended)
    assert [each["stop"] for each in told] == [
        {"state": "stopped", "before": "running"},
        {"state": "stopped", "before": "running"},
        {"state": "ended_before", "before": "completed"},
    ]
    assert [each["result"]["processes_left"] for each in told[:2]] == [0, 0]


def test_a_slip_in_one_name_stops_none_of_them(granted: Scene) -> None:
    _, spawn = _running(granted)
    done = relay(granted.laptop, "--json", "stop", spawn, "no-such-spawn")
    assert done.returncode == 2 and error_of(done)["code"] == "unknown_spawn"
    assert granted.show(spawn)["stop_requested"] is None
    relay(granted.laptop, "stop", spawn)


def test_stop_of_what_sleeps_is_queued_and_says_when_it_was_seen_last(granted: Scene) -> None:
    name, spawn = _running(granted)
    assert error_of(relay(granted.vps, "--json", "retry", spawn))["why"] == "it is running"
    granted.vps.kill()
    wait_until(lambda: granted.laptop.status()["links"] == 0, 10, "the link to be seen gone")
    for verb in (("retry",), ("resolve", "done")):
        refused = error_of(relay(granted.laptop, "--json", verb[0], spawn, *verb[1:]))
        assert refused["why"] == "it is running, by the last word of its machine"
    done = relay(granted.laptop, "stop", spawn)
    assert done.returncode == 0
    assert re.match(rf"{name} on vps: stop queued; last seen running ".encode() + CLOCK, done.stdout), done.stdout
    assert b"it is stopped when vps is back" in done.stderr
    told = relay_json(granted.laptop, "stop", spawn)
    assert told["stop"] == {"state": "queued", "before": "running"} and told["state"] == "running"
    never = granted.begin("true")
    assert b"it had not started; nothing ran" in relay(granted.laptop, "stop", never, LOGNAME="ann").stdout
    assert granted.show(never)["reason"] == "stopped by ann, never sent"
    (mark,) = granted.show(spawn)["marks"]
    assert (mark["mark"], mark["by"]) == ("stop asked for", "laptop")
    granted.vps.start()
    granted.until(spawn, "cancelled")


def test_what_its_machine_runs_once_more_after_a_stop_can_be_stopped_again(granted: Scene) -> None:
    name, spawn = _running(granted)
    for attempt in (2, 3):
        relay(granted.laptop, "stop", name)
        relay(granted.vps, "retry", f"{name}@vps")
        wait_until(lambda attempt=attempt: granted.show(spawn)["attempt"] == attempt, 10, "it to run anew")  # type: ignore[misc]
        found = granted.until(spawn, "running")
        assert found["stop_requested"] is None and not found["ack"].startswith("Being stopped"), found
    relay(granted.laptop, "stop", name)
    granted.until(spawn, "cancelled")


def test_a_stop_after_each_of_two_retries_of_what_sleeps_stops_both(granted: Scene) -> None:
    laptop, vps, spawn = granted.laptop, granted.vps, granted.shell("exit 3")["id"]
    relay(vps, "queue", "pause")
    wait_until(lambda: not laptop.status()["outbox"]["envelopes"], 15, "what came before to be taken")
    with vps.asleep():
        for _ in range(2):
            before = laptop.status()["outbox"]["envelopes"]
            with laptop.control() as control:
                words = json.dumps({"operation": fresh("retry")})
                typed = {"Content-Type": "application/json"}
                control._connection.request("POST", f"/api/v1/spawns/{spawn}/retry", words, typed)
                # nobody is there to answer
                wait_until(lambda: laptop.status()["outbox"]["envelopes"] > before, 20, "it to be asked")  # noqa: B023
            with laptop.control() as control:
                control.post(f"spawns/{spawn}/stop", {})
    wait_until(lambda: not laptop.status()["outbox"]["envelopes"], 15, "all to be taken")
    relay(vps, "queue", "resume")
    found = granted.until(spawn, "cancelled", on=vps)
    assert found["attempt"] == 1, found


def test_what_never_ran_is_not_sent_from_one_view_to_the_other(granted: Scene) -> None:
    refused = str(granted.shell("true", "--cwd", "/", status=125)["id"])
    waiting = granted.begin("true", "--at", "2h")
    granted.until(waiting, "waiting")
    assert relay(granted.laptop, "stop", waiting).stdout.endswith(b": it had not started; nothing ran\n")
    shown = relay(granted.laptop, "show", waiting).stdout
    assert b"was stopped before it started; nothing ran" in shown and b"\nnot before" not in shown
    for spawn, why in ((refused, b"was refused"), (waiting, b"was stopped before it started")):
        for verb in ("logs", "result"):
            done = relay(granted.laptop, verb, spawn)
            hint = done.stderr.partition(b"try:")[2]
            assert why in done.stderr and b"nothing ran" in done.stderr, (verb, done.stderr)
            assert b"relay logs" not in hint and b"relay result" not in hint and hint.strip()
    assert f"relay retry {waiting[:8]}".encode() in relay(granted.laptop, "logs", waiting).stderr


def test_a_machine_that_hangs_under_its_link_is_not_waited_for_for_ever(granted: Scene) -> None:
    name, spawn = _running(granted)
    with granted.vps.asleep():
        began = time.monotonic()
        done = relay(granted.laptop, "stop", spawn, timeout=60)
        assert done.returncode == 0 and time.monotonic() - began < 30
        assert f"{name} on vps: ".encode() in done.stdout and b"last seen running" in done.stdout
        assert b"left" not in done.stdout, "nothing is said of what nobody knows"
    assert granted.until(spawn, "cancelled")


# wait


def test_a_broker_that_ends_while_it_waits_for_another_logs_no_fault(granted: Scene) -> None:
    laptop = granted.laptop
    faults = laptop.log().count("ERROR")
    with granted.vps.asleep(), started(laptop, "queue", "resume", "--broker", "vps"):
        wait_until(lambda: laptop.status()["outbox"]["envelopes"], 10, "it to be asked")
        laptop.stop()
    laptop.start()
    assert laptop.log().count("ERROR") == faults, laptop.log_tail()
    granted.linked()


def test_wait_gives_up_at_its_deadline_and_leaves_them_as_they_are(granted: Scene) -> None:
    (name, slow), quick = _running(granted), str(granted.begin("exit 3"))
    began = time.monotonic()
    done = relay(granted.laptop, "wait", quick, slow, "--timeout", "2s")
    assert done.returncode == 1 and 2 <= time.monotonic() - began < 15
    assert b"error: not all have ended within 2s" in done.stderr and f"{name} on vps".encode() in done.stderr
    assert f"try:   relay wait {name}@vps".encode() in done.stderr
    late = relay(granted.laptop, "--json", "wait", quick, slow, "--timeout", "1s")
    assert error_of(late)["code"] == "wait_timeout" and late.returncode == 1
    assert granted.show(slow)["state"] == "running" and granted.show(slow)["stop_requested"] is None
    relay(granted.laptop, "stop", slow)
    assert relay(granted.laptop, "wait", quick, "--timeout", "10s").returncode == 3


def test_wait_for_any_ends_with_the_first(granted: Scene) -> None:
    go = granted.vps.work / fresh("go")
    (_, slow), (_, other) = _running(granted), _running(granted, f"while [ ! -e {go} ]; do sleep 0.05; done; exit 5")
    with started(granted.laptop, "--json", "wait", slow, other, "--any") as process:
        go.touch()
        ended = process.communicate(timeout=20)[0]
        assert process.returncode == 5 and other.encode() in ended and slow.encode() not in ended
    assert granted.show(slow)["state"] == "running"
    relay(granted.laptop, "stop", slow)


def test_wait_for_many_goes_on_over_a_restart_of_this_machine_s_broker(granted: Scene) -> None:
    go = granted.vps.work / fresh("go")
    script = f"while [ ! -e {go} ]; do sleep 0.05; done; exit 4"
    spawns = [_running(granted, script)[1] for _ in range(3)]
    with started(granted.laptop, "wait", *spawns) as process:
        assert process.stderr is not None and b"Working" in process.stderr.readline()  # it waits
        granted.laptop.restart()
        go.touch()
        ended, told = process.communicate(timeout=40)
        assert process.returncode == 4, (ended, told)
        assert all(granted.show(spawn)["name"].encode() in ended + told for spawn in spawns) and b"went away" in told


def test_wait_for_what_a_broker_runs_that_is_just_being_started(granted: Scene) -> None:
    spawn = str(granted.shell("exit 3")["id"])
    granted.laptop.stop()
    # as a broker that has taken its home and does not answer yet: this command is one of relay's too
    command = f"echo $$ > {granted.laptop.home}/broker.lock; exec {sys.executable} -m relay wait {spawn}"
    with subprocess.Popen(
        ["/bin/sh", "-c", command], env=granted.laptop.environment(), cwd=granted.laptop.scratch, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stderr is not None
            told = process.stderr.readline()
            assert told == b"the broker of this machine is not running; waiting for it to be back\n"
            granted.laptop.start()
            assert process.wait(20) == 3
        finally:
            process.kill()


def test_with_json_what_waits_says_nothing_on_the_way(granted: Scene) -> None:
    words = granted.words("shell", "sleep 2")
    for wait in ("--wait", "--follow"):
        done = relay(granted.laptop, "--json", *words, wait)
        assert (done.returncode, done.stderr) == (0, b"")
    done = relay(granted.laptop, "--json", "wait", granted.begin("sleep 2"), granted.begin("sleep 2"))
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("stays", ["--wait", "--follow"])
def test_ctrl_c_tells_how_it_stands_by_then_and_not_how_it_stood_at_first(granted: Scene, stays: str) -> None:
    name = fresh("s")
    with started(granted.laptop, *granted.words("shell", "sleep 84", name=name), stays) as process:
        wait_until(lambda: _state(granted, name) == "running", 15, "it to run")
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=20)
        assert process.returncode == 130
    assert f"{name} on vps is left as it is: Working".encode() in told, told
    relay(granted.laptop, "stop", name)


def _state(scene: Scene, name: str) -> str:
    found = relay_json(scene.laptop, "ps", "--name", name)
    return str(found[0]["state"]) if found else ""


def test_ctrl_c_of_a_wait_for_many_says_how_to_go_on(granted: Scene) -> None:
    (one, first), (other, second) = _running(granted), _running(granted)
    for more in ("", " --any"):
        with started(granted.laptop, "wait", first, second, *more.split()) as process:
            assert process.stderr is not None and b"Working" in process.stderr.readline()  # it waits
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=20)
            assert process.returncode == 130
        assert f"go on: relay wait {one}@vps {other}@vps{more}\n".encode() in told, told
    assert granted.show(first)["state"] == granted.show(second)["state"] == "running"
    relay(granted.laptop, "stop", first, second)


def test_ctrl_c_under_follow_tells_how_it_stands_now_and_not_when_it_was_asked_for(granted: Scene) -> None:
    name = fresh("s")
    words = granted.words("shell", "echo begun; sleep 84", name=name)
    with started(granted.laptop, *words, "--follow") as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == b"begun\n"
        spawn = str(granted.show(f"{name}@vps")["id"])
        granted.until(spawn, "running")
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 130
        assert f"{name} on vps is left as it is: Working\n".encode() in process.stderr.read()
    relay(granted.laptop, "stop", spawn)


def test_ctrl_c_is_heard_soon_where_this_machine_s_broker_hangs(granted: Scene) -> None:
    name = fresh("s")
    with started(granted.laptop, *granted.words("shell", "sleep 85", name=name), "--wait") as process:
        assert process.stderr is not None and b"Working" in process.stderr.readline()
        with _paused(granted.laptop):
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=10)  # less than what an answer may take otherwise
    assert process.returncode == 130 and b"is left as it is" in told, told
    relay(granted.laptop, "stop", name)


@pytest.mark.parametrize(("verb", "words", "status"), [("send", ("hello",), 130), ("wait", (), 141)])
def test_ctrl_c_that_ended_who_reads_what_is_told_leaves_no_other_status(
    granted: Scene, verb: str, words: tuple[str, ...], status: int
) -> None:
    """As in `relay wait ID 2>&1 | tee told`: the key ends both."""
    _, spawn = _running(granted, "sleep 86")
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "relay", verb, spawn, *words]
    with (
        _paused(granted.laptop) if verb == "send" else contextlib.nullcontext(),
        subprocess.Popen(command, stdout=writing, stderr=writing, env=granted.laptop.environment()) as process,
    ):
        os.close(writing)
        assert os.read(reading, 4_096)  # what it waits for
        os.close(reading)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == status
    relay(granted.laptop, "stop", spawn)


@contextlib.contextmanager
def _paused(node: Node) -> Iterator[None]:
    node.pause()
    try:
        yield
    finally:
        node.resume()


def test_what_ran_before_it_was_refused_is_not_said_to_have_run_never(granted: Scene) -> None:
    """Its folder is gone before its second attempt; another is stopped before it."""
    folder = granted.vps.work / fresh("gone")
    folder.mkdir()
    words = granted.words("shell", "exit 5", cwd=folder, options=("--retries", "3"))
    refused = relay_json(granted.laptop, *words)["id"]
    stopped = granted.begin("exit 5", "--retries", "9")
    wait_until(lambda: granted.show(refused, granted.vps)["reason"].startswith("retry "), 15, "its first attempt's end")
    folder.rmdir()
    # its third pause is one of 4 s and more
    wait_until(lambda: granted.show(stopped)["reason"].startswith("retry 3 "), 30, "a long pause")
    said = relay(granted.laptop, "stop", stopped).stdout.decode()
    assert "it was waiting for attempt 4" in said and "in attempt" not in said, said
    granted.until(refused, "rejected")
    told = b"".join((relay(granted.laptop, verb, refused)).stderr for verb in ("wait", "result")).decode()
    told += relay(granted.laptop, "show", refused).stdout.decode()
    assert "was refused another attempt" in told and "nothing ran" not in told, told

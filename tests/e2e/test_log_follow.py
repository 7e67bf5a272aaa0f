"""Output, live over the mesh: from any offset, to any number of readers, over lost links, without gap or repeat."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from relay.testing import processes
from relay.testing.node import Node
from tests.e2e.scene import Scene, error_of, fresh, relay, relay_json, said, started

COUNTING = "i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo line $i; sleep 0.005; done"
COUNTED = "".join(f"line {n}\n" for n in range(1, 401)).encode()


@pytest.fixture
def gate(granted: Scene) -> Iterator[Path]:
    """A file whose coming lets a waiting task go on."""
    file = granted.vps.work / fresh("gate")
    yield file
    file.touch()


def waits_for(file: Path) -> str:
    """The words of a script that wait for a file."""
    return f"while [ ! -e {file} ]; do sleep 0.02; done"


def lines_of(node: Node, spawn: str, *options: str) -> list[dict[str, Any]]:
    """What `relay logs --json` prints."""
    return [json.loads(line) for line in relay(node, "logs", spawn, "--json", *options).stdout.splitlines()]


def bytes_of(line: dict[str, Any]) -> bytes:
    """The bytes that a line of the log stands for."""
    return base64.b64decode(line["raw"]) if "raw" in line else str(line["data"]).encode()


def test_output_comes_while_it_is_written(granted: Scene, gate: Path) -> None:
    spawn = granted.begin(f"echo first; {waits_for(gate)}; echo second")
    with started(granted.laptop, "logs", spawn, "-f") as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == b"first\n"
        assert granted.show(spawn)["state"] == "running"
        gate.touch()
        assert follower.stdout.read() == b"second\n"
        assert follower.wait(10) == 0


def test_follow_before_it_starts(granted: Scene, gate: Path) -> None:
    granted.grant("--agent", "shell", "--max-parallel", "1")
    first = granted.begin(waits_for(gate))
    granted.until(first, "running")
    second = granted.begin("echo late")
    with started(granted.laptop, "logs", second, "-f") as follower:
        granted.until(second, "waiting")
        gate.touch()
        assert follower.communicate(timeout=20)[0] == b"late\n"


def test_follow_of_what_is_asleep_begins_when_it_wakes(granted: Scene) -> None:
    granted.vps.kill()
    spawn = granted.begin("echo woken")
    with started(granted.laptop, "logs", spawn, "-f") as follower:
        time.sleep(0.3)
        assert follower.poll() is None
        granted.vps.start()
        assert follower.communicate(timeout=20)[0] == b"woken\n"


def test_many_followers_see_the_same(granted: Scene) -> None:
    spawn = granted.begin(COUNTING)
    with ExitStack() as stack:
        followers = [stack.enter_context(started(granted.laptop, "logs", spawn, "-f")) for _ in range(4)]
        followers += [stack.enter_context(started(granted.vps, "logs", spawn, "-f"))]
        for follower in followers:
            assert follower.communicate(timeout=30)[0] == COUNTED


def test_a_hundred_followers_in_one_program(granted: Scene, gate: Path) -> None:
    """More than a broker serves to one peer at once: the rest are told so, and nobody hangs."""
    spawn = granted.begin(f"echo x; {waits_for(gate)}; echo y")
    granted.until(spawn, "running")
    with ExitStack() as stack:
        streams = [_stream(stack, granted.laptop, f"spawns/{spawn}/log?follow=1") for _ in range(100)]
        first = [_more(stream) for stream in streams]
        served = [stream for stream, text in zip(streams, first, strict=True) if b'"x\\n"' in text]
        gate.touch()
        assert all(b'"y\\n"' in _more(stream) for stream in served)
    assert sum(b'"too_many"' in text for text in first) == 100 - len(served) and len(served) >= 64


def _more(stream: socket.socket) -> bytes:
    """What comes, up to the end of a document."""
    text = b""
    while b"}" not in text:
        text += stream.recv(65536)
    return text


def _stream(stack: ExitStack, node: Node, path: str) -> socket.socket:
    connection = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    connection.settimeout(20)
    connection.connect(str(node.socket))
    connection.sendall(f"GET /api/v1/{path} HTTP/1.1\r\nHost: relay\r\n\r\n".encode())
    return connection


def test_resume_by_offset(granted: Scene) -> None:
    spawn = granted.shell(COUNTING, status=0)["id"]
    whole = lines_of(granted.laptop, spawn)
    assert b"".join(map(bytes_of, whole)) == COUNTED
    for at in (0, len(whole) // 2, max(len(whole) - 2, 0)):  # all of it is one line to a shim that was kept waiting
        with granted.laptop.control() as control:
            offset = whole[at]["next"]
            rest = [json.loads(line) for line in _raw(control, f"spawns/{spawn}/log?offset={offset}")]
        assert rest == whole[at + 1 :]
    assert lines_of(granted.vps, spawn) == whole, "offsets mean the same on both machines"


def _raw(control: Any, route: str) -> list[bytes]:
    control._connection.request("GET", f"/api/v1/{route}")
    found: list[bytes] = control._connection.getresponse().read().splitlines()
    return found


def test_tail(granted: Scene) -> None:
    spawn = granted.shell(COUNTING.replace("sleep 0.005", ":"), status=0)["id"]
    for wanted in (0, 1, 2, 399, 400, 401, 100_000):
        expected = b"".join(COUNTED.splitlines(keepends=True)[-wanted:] if wanted else [])
        assert relay(granted.laptop, "logs", spawn, "-n", str(wanted)).stdout == expected
    assert relay(granted.vps, "logs", spawn, "-n", "399").stdout == COUNTED.partition(b"\n")[2]


def test_tail_then_follow(granted: Scene, gate: Path) -> None:
    spawn = granted.begin(f"seq 100; {waits_for(gate)}; echo end")
    granted.until(spawn, "running")
    processes.wait_until(lambda: relay(granted.laptop, "logs", spawn).stdout.endswith(b"100\n"), 10, "a hundred lines")
    with started(granted.laptop, "logs", spawn, "-f", "-n", "2") as follower:
        assert follower.stdout is not None and follower.stdout.readline() == b"99\n"
        gate.touch()
        assert follower.stdout.read() == b"100\nend\n"


def test_big_and_binary(granted: Scene) -> None:
    """8 MiB of every byte there is, whole and in order."""
    file = granted.vps.work / fresh("big")
    content = bytes(range(256)) * (8 << 12)
    file.write_bytes(content)
    spawn = granted.shell(f"cat {file}", status=0)["id"]
    assert relay(granted.laptop, "logs", spawn).stdout == content


def test_streams_are_kept_apart(granted: Scene) -> None:
    gates = [granted.vps.work / fresh("gate") for _ in range(2)]
    spawn = granted.begin(f"echo a; {waits_for(gates[0])}; echo b >&2; {waits_for(gates[1])}; printf c")
    for known, gate in enumerate(gates, 1):
        # what is written to both before anybody reads has no order
        processes.wait_until(lambda known=known: len(lines_of(granted.vps, spawn)) == known, 15, "a line")  # type: ignore[misc]
        gate.touch()
    granted.until(spawn, "completed")
    assert [(each["stream"], each["data"]) for each in lines_of(granted.laptop, spawn)] == [
        ("out", "a\n"),
        ("err", "b\n"),
        ("out", "c"),
    ]
    done = relay(granted.laptop, "logs", spawn)
    assert (done.stdout, done.stderr) == (b"a\nc", b"b\n")


@pytest.mark.parametrize("loss", ["killed", "stopped in order", "asleep"])
def test_follow_over_a_lost_link(granted: Scene, loss: str) -> None:
    """The target goes away and comes back in the middle: every line once."""
    spawn = granted.begin(COUNTING)
    with started(granted.laptop, "logs", spawn, "-f") as follower:
        assert follower.stdout is not None
        begun = b"".join(follower.stdout.readline() for _ in range(20))
        if loss == "asleep":
            with granted.vps.asleep():
                time.sleep(0.5)
        else:
            granted.vps.kill() if loss == "killed" else granted.vps.stop()
            time.sleep(0.2)
            granted.vps.start()
        assert begun + follower.stdout.read() == COUNTED
        assert follower.wait(10) == 0
    assert relay(granted.laptop, "logs", spawn).stdout == COUNTED


def test_log_of_a_broker_out_of_reach(granted: Scene, gate: Path) -> None:
    """What has ended is told from the tail that was sent here; of what runs nothing is made up."""
    ended = granted.shell("echo kept", status=0)["id"]
    running = granted.begin(f"echo not sent here; {waits_for(gate)}")
    granted.until(running, "running")
    granted.vps.kill()
    processes.wait_until(lambda: granted.laptop.status()["links"] == 0, 10, "the link to be seen gone")
    assert relay(granted.laptop, "logs", ended).stdout == b"kept\n"
    assert relay(granted.laptop, "logs", ended, "-f").stdout == b"kept\n"
    assert relay(granted.laptop, "result", ended).stdout == b"kept\n"
    done = relay(granted.laptop, "--json", "logs", running)
    assert done.returncode == 1 and error_of(done)["code"] == "unreachable"
    assert "not connected" in error_of(done)["why"]
    granted.vps.start()


def test_a_machine_that_is_linked_and_does_not_answer_is_said_to_be_asked(granted: Scene) -> None:
    spawn = granted.shell("echo x", status=0)["id"]
    with granted.vps.asleep(), started(granted.laptop, "logs", spawn) as asking:
        assert asking.stderr is not None
        assert asking.stderr.readline() == b"asking its machine for the output ...\n"
    granted.linked()
    processes.wait_until(lambda: relay(granted.laptop, "logs", spawn).stderr == b"", 20, "it to answer at once again")


def test_log_of_what_never_ran(two: Scene) -> None:
    spawn = two.shell("true", status=125)["id"]
    for options in ((), ("-f",), ("-n", "5")):
        done = relay(two.laptop, "logs", spawn, *options)
        assert (done.returncode, done.stdout) == (0, b"")


def test_log_of_what_failed_and_wrote_nothing_says_why_and_never_sends_back_to_itself(granted: Scene) -> None:
    whys = {"exit 3": b"exit code 3", "sleep 61": b"stopped by laptop", "sleep 60": b"longer than its timeout"}
    for script, why in whys.items():
        limit = ("--timeout", "1s") if script == "sleep 60" else ()
        spawn = granted.begin(script, *limit)
        if script == "sleep 61":
            granted.until(spawn, "running")
            relay(granted.laptop, "stop", spawn)
        granted.until(spawn, "failed", "timed_out", "cancelled")
        for options in ((), ("-f",)):
            done = relay(granted.laptop, "logs", spawn, *options)
            assert (done.returncode, done.stdout) == (0, b"") and why in done.stderr, done
            assert said(done).startswith(b"there is no output\nerror: ") and b"relay logs" not in done.stderr
    assert said(relay(granted.laptop, "logs", spawn, "-n", "0")) == b""
    spawn = granted.begin("true")
    granted.until(spawn, "completed")
    assert said(relay(granted.laptop, "logs", spawn)) == b""


def test_log_of_what_waits_says_what_for(granted: Scene) -> None:
    spawn = granted.begin("echo now", "--at", "2h")
    granted.until(spawn, "waiting")
    done = relay(granted.laptop, "logs", spawn)
    assert (done.returncode, done.stdout) == (0, b"")
    assert said(done).startswith(b"there is no output yet: Waiting on vps: not before ")
    assert relay(granted.laptop, "logs", spawn, "--json").stderr == b""
    with started(granted.laptop, "logs", spawn, "-f") as follower:
        assert follower.stdout is not None and follower.stderr is not None
        first = follower.stderr.readline()
        assert said(done) == (follower.stderr.readline() if first.startswith(b"asking ") else first)
        relay(granted.laptop, "edit", spawn, "--at", "1s")
        assert (follower.stdout.read(), follower.wait(20)) == (b"now\n", 0)


def test_log_with_the_grant_gone(granted: Scene) -> None:
    """The one who asked for it may not look any more once nothing is granted."""
    spawn = granted.shell("echo secret", status=0)["id"]
    relay(granted.vps, "trust", "revoke", "laptop")
    done = relay(granted.laptop, "logs", spawn)
    assert done.returncode in (0, 1)
    assert done.stdout in (b"", b"secret\n")  # at most the tail that was sent here while it was granted
    lines = relay_json(granted.laptop, "show", spawn)
    assert lines["state"] == "completed"


# events


def events(node: Node, *options: str) -> list[dict[str, Any]]:
    """What `relay events --json` prints."""
    return [json.loads(line) for line in relay(node, "events", "--json", *options).stdout.splitlines()]


def test_events_resume_by_number(granted: Scene) -> None:
    before = events(granted.laptop)[-1]["seq"]
    spawn = granted.shell("true", status=0)["id"]
    since = events(granted.laptop, "--since", str(before))
    assert [each["seq"] for each in since] == sorted({each["seq"] for each in since})
    assert since[0]["seq"] == before + 1
    states = [each["state"] for each in since if each["kind"] == "spawn.state" and each["spawn"] == spawn]
    assert states[0] == "queued" and states[-1] == "completed"
    assert all(each["at"].endswith("Z") for each in since)


def test_every_follower_gets_every_event_over_a_restart(granted: Scene) -> None:
    follow = ("events", "-f", "--since", str(events(granted.laptop)[-1]["seq"]))
    with started(granted.laptop, *follow, "--json") as one, started(granted.laptop, *follow) as two:
        assert one.stdout is not None and two.stdout is not None
        spawn = granted.shell("true", status=0)["id"]
        seen = []
        for line in one.stdout:
            seen.append(json.loads(line))
            if seen[-1].get("spawn") == spawn and seen[-1].get("state") == "completed":
                break
        text = b""
        while b"completed" not in text:
            text += two.stdout.readline()
        assert spawn.encode() in text
    last = seen[-1]["seq"]
    granted.laptop.restart()
    granted.linked()
    again = granted.shell("true", status=0)["id"]
    later = events(granted.laptop, "--since", str(last))
    assert later[0]["seq"] == last + 1
    assert again in {each.get("spawn") for each in later} and spawn not in {each.get("spawn") for each in later}


# wait


def test_wait_of_many_takes_the_first_that_is_not_0(granted: Scene) -> None:
    fine, worse, bad = granted.begin("exit 0"), granted.begin("sleep 0.3; exit 9"), granted.begin("exit 4")
    done = relay(granted.laptop, "wait", fine, worse, bad)
    assert done.returncode == 9
    ended = relay_json(granted.laptop, "wait", bad, fine, worse, status=4)
    assert [each["exit_code"] for each in ended] == [4, 0, 9]
    assert relay(granted.laptop, "wait", fine, fine).returncode == 0
    assert relay(granted.laptop, "wait", fine, "nosuch").returncode == 2


def test_fifty_at_once(granted: Scene) -> None:
    with granted.laptop.control() as control:
        place = {"broker": "vps", "cwd": str(granted.vps.work)}
        ids = [control.spawn("/bin/sh", "-c", f"echo {n}", **place)["id"] for n in range(50)]
    ended = relay_json(granted.laptop, "wait", *ids)
    assert [each["result"]["output_tail"] for each in ended] == [f"{n}\n" for n in range(50)]


def test_more_lines_than_there_are(granted: Scene) -> None:
    """Read from the end without keeping what is passed, then sent in pieces: whatever the number, all of it comes."""
    spawn = granted.shell("seq 1 400000", status=0)["id"]
    whole = relay(granted.laptop, "logs", spawn).stdout
    assert whole.count(b"\n") == 400_000
    assert relay(granted.laptop, "logs", spawn, "--tail", "9" * 20).stdout == whole
    for node in (granted.laptop, granted.vps):
        assert relay(node, "logs", spawn, "--tail", "1000000000").stdout == whole
        assert relay(node, "logs", spawn, "--tail", "300000").stdout == b"".join(whole.splitlines(True)[-300_000:])
        assert relay(node, "logs", spawn, "--tail", "2").stdout == b"399999\n400000\n"

"""The end of a spawn's output is at its origin: read while its target sleeps, with what it lacks said."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from relay.core.tails import MAX_TAIL_BYTES
from relay.testing import processes
from relay.testing.node import DAEMON, Node
from tests.e2e.queue_scene import is_tried
from tests.e2e.quick_tails_program import LAUNCHER
from tests.e2e.scene import Scene, fresh, relay, relay_json, started

LINES = 20_000
PRINTED = b"".join(b"%d\n" % number for number in range(1, LINES + 1))


def _put_to_sleep(two: Scene) -> None:
    two.vps.kill()
    processes.wait_until(lambda: two.laptop.status()["links"] == 0, 15, "the link to be seen gone")


def _told(two: Scene, spawn: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in relay(two.laptop, "logs", spawn, "--json").stdout.splitlines()]


def test_the_end_of_a_long_output_is_read_while_its_target_sleeps(granted: Scene) -> None:
    spawn = granted.shell(f"seq {LINES}", status=0)["id"]
    assert relay(granted.laptop, "logs", spawn).stdout == PRINTED
    _put_to_sleep(granted)
    done = relay(granted.laptop, "logs", spawn)
    assert done.returncode == 0 and done.stdout == PRINTED[-MAX_TAIL_BYTES:]
    said = done.stderr.decode()
    assert "out of reach" in said and "the end of its output as of 20" in said and "KiB before it are there" in said
    notice, *pieces = _told(granted, spawn)
    assert (notice["stream"], notice["data"]) == ("gap", "") and notice["as_of"] == notice["at"]
    before = len(PRINTED) - MAX_TAIL_BYTES  # of the log, which has a header for each of its frames beside the output
    assert before <= notice["missing"] < before + 64 * 1024
    assert "".join(each["data"] for each in pieces).encode() == done.stdout
    assert relay(granted.laptop, "logs", spawn, "--tail", "2").stdout == b"19999\n20000\n"
    assert relay(granted.laptop, "logs", spawn, "-f", "-n", "1").stdout == b"20000\n"


def test_the_result_says_that_there_is_more_output_than_it_has(granted: Scene) -> None:
    go = granted.vps.work / fresh("go")
    spawn = granted.begin(f"while [ ! -e {go} ]; do sleep 0.02; done; sleep 0.2; seq {LINES}")
    granted.until(spawn, "running")  # its time is counted from when its shim gets to write its start down
    go.touch()
    granted.until(spawn, "completed")
    _put_to_sleep(granted)
    done = relay(granted.laptop, "result", spawn)
    assert done.returncode == 0 and done.stdout == PRINTED[-16_000:]
    assert b"only the end of its output is kept with its result" in done.stderr
    # what took no time is not told; on a busy machine each phase takes some
    phases = re.search(rb"(?m)^phases: (?:.*, )?ran (\d+(?:\.\d)?) s$", done.stderr)
    assert phases is not None and float(phases[1]) >= 0.2
    assert relay_json(granted.laptop, "result", spawn)["result"]["output_before_bytes"] == len(PRINTED) - 16_000


def test_what_stands_before_the_end_of_an_output_is_counted_however_small_its_pieces_were(granted: Scene) -> None:
    """A log has bytes of its own for each piece: as many again as a short line has."""
    lines = "import os, time\nfor _ in range(9000): os.write(1, b'hello\\n'); time.sleep(1e-5)"
    found = granted.shell(f'exec {sys.executable} -c "{lines}"', status=0)
    assert len(found["result"]["output_tail"]) == 16_000
    assert found["result"]["output_before_bytes"] == 6 * 9000 - 16_000


def test_bytes_and_streams_are_as_they_were(granted: Scene) -> None:
    script = r"printf '\033[31mred\033[0m \377\n'; sleep 0.1; echo oops >&2; exit 4"
    spawn = granted.shell(script, status=4)["id"]
    _put_to_sleep(granted)
    done = relay(granted.laptop, "logs", spawn)
    assert (done.returncode, done.stdout) == (0, b"\x1b[31mred\x1b[0m \xff\n")
    assert done.stderr.endswith(b"oops\n") and b"[its machine is out of reach: its output as of" in done.stderr
    assert relay(granted.laptop, "logs", spawn, "--plain").stdout == b"red \xff\n"
    assert _told(granted, spawn)[0]["missing"] == 0


def test_what_fits_into_the_result_takes_nothing_more(granted: Scene) -> None:
    """No row, and so no bytes on the wire, beside the word on the end."""
    spawn = granted.shell("echo short", status=0)["id"]
    assert not any(_tails_of(node, spawn) for node in (granted.laptop, granted.vps))
    long = granted.shell(f"seq {LINES}", status=0)["id"]
    assert all(_tails_of(node, long) for node in (granted.laptop, granted.vps))
    _put_to_sleep(granted)
    assert relay(granted.laptop, "logs", spawn).stdout == b"short\n"


@pytest.mark.parametrize("killed", ["origin", "target", "both"])
def test_it_comes_through_a_crash_while_the_result_is_on_its_way(granted: Scene, killed: str) -> None:
    go = granted.vps.work / fresh("go")
    spawn = granted.begin(f"while [ ! -e {go} ]; do sleep 0.02; done; seq {LINES}")
    granted.until(spawn, "running")
    granted.laptop.kill()
    if killed in ("target", "both"):
        granted.vps.kill()
    go.touch()
    if killed in ("target", "both"):
        granted.vps.start()
    granted.until(spawn, "completed", on=granted.vps)
    if killed == "both":
        granted.vps.restart()
    granted.laptop.start()
    granted.until(spawn, "completed")
    granted.laptop.restart()
    _put_to_sleep(granted)
    assert relay(granted.laptop, "logs", spawn).stdout == PRINTED[-MAX_TAIL_BYTES:]


@pytest.fixture
def quick(granted: Scene) -> Iterator[Scene]:
    """Both tell the ends of running transcripts at once."""
    for launcher in (LAUNCHER, DAEMON):
        for node in (granted.laptop, granted.vps):
            node.kill()
            node.launcher = launcher
            node.start()
        granted.linked()
        if launcher == LAUNCHER:
            yield granted


def test_a_running_spawn_s_output_is_read_while_its_target_sleeps_and_followed_from_there(quick: Scene) -> None:
    go = quick.vps.work / fresh("go")
    spawn = quick.begin(f"seq 3000; echo here; while [ ! -e {go} ]; do sleep 0.02; done; echo there; exit 5")
    quick.until(spawn, "running")
    # it may have been told of before all of it was printed
    processes.wait_until(lambda: b"here\n" in _pieces(quick.laptop, spawn), 15, "the end of its output to be told")
    _put_to_sleep(quick)
    assert quick.show(spawn)["state"] == "running"
    done = relay(quick.laptop, "logs", spawn)
    assert (done.returncode, done.stdout[-10:]) == (0, b"3000\nhere\n") and b"KiB before it are there" in done.stderr
    with started(quick.laptop, "logs", spawn, "-f", "-n", "2") as follower:
        assert follower.stdout is not None and follower.stderr is not None
        assert [follower.stdout.readline() for _ in range(2)] == [b"3000\n", b"here\n"]
        assert b"vps is not in reach now" in follower.stderr.readline()
        go.touch()
        quick.vps.start()
        assert (follower.stdout.read(), follower.wait(20)) == (b"there\n", 0)


def test_a_machine_that_says_nothing_is_said_to_be_silent_and_its_output_as_of_then_is_shown(quick: Scene) -> None:
    go = quick.vps.work / fresh("go")
    spawn = quick.begin(f"seq 3000; echo here; while [ ! -e {go} ]; do sleep 0.02; done; echo there; exit 5")
    processes.wait_until(lambda: b"here\n" in _pieces(quick.laptop, spawn), 15, "the end of its output to be told")
    with started(quick.laptop, "logs", spawn, "-f", "-n", "1") as follower:
        with quick.vps.asleep():  # its link stands
            assert quick.laptop.status()["links"] == 1
            with started(quick.laptop, "logs", spawn, "-f", "-n", "2") as second:
                done = relay(quick.laptop, "logs", spawn, "-n", "2", timeout=20)
                assert (done.returncode, done.stdout) == (0, b"3000\nhere\n")
                asked, as_of = done.stderr.splitlines()
                assert asked == b"asking its machine for the output ..." and b"the end of its output as of 20" in as_of
                assert second.stdout is not None
                assert [second.stdout.readline() for _ in range(2)] == [b"3000\n", b"here\n"]
                go.touch()
                quick.vps.resume()
                assert (second.stdout.read(), second.wait(20)) == (b"there\n", 0)
        assert follower.stdout is not None
        assert (follower.stdout.read(), follower.wait(20)) == (b"here\nthere\n", 0)


def test_what_an_attempt_wrote_last_is_read_while_the_next_one_is_waited_for(quick: Scene) -> None:
    """No word on an end comes between two attempts, and the pause may be long."""
    spawn = is_tried(quick, "echo half done; exit 3", "--retries", "1")
    processes.wait_until(lambda: b"half done\n" in _pieces(quick.laptop, spawn), 15, "the end of its output to be told")
    _put_to_sleep(quick)
    done = relay(quick.laptop, "logs", spawn)
    assert (done.returncode, done.stdout) == (0, b"half done\n"), done.stderr
    quick.vps.start()
    relay(quick.vps, "queue", "resume")
    quick.until(spawn, "failed")


def _pieces(node: Node, spawn: str) -> bytes:
    with closing(sqlite3.connect(f"file:{node.home / 'relay.db'}?mode=ro", uri=True)) as store:
        found = store.execute("SELECT pieces FROM tails WHERE spawn = ?", (spawn,)).fetchone()
    return bytes(found[0]) if found else b""


def _tails_of(node: Node, spawn: str) -> bool:
    with closing(sqlite3.connect(f"file:{node.home / 'relay.db'}?mode=ro", uri=True)) as store:
        return store.execute("SELECT 1 FROM tails WHERE spawn = ?", (spawn,)).fetchone() is not None


def test_a_silent_spawn_is_told_of_once(quick: Scene) -> None:
    """What does not grow is not told again: the moment that stands with it stays the same."""
    spawn = quick.begin("echo once; sleep 60")
    quick.until(spawn, "running")
    processes.wait_until(lambda: _tails_of(quick.laptop, spawn), 10, "the end of its output to be told")
    other = quick.begin("while :; do date; sleep 0.25; done")
    told_at = _moment(quick.laptop, spawn)
    processes.wait_until(lambda: _tails_of(quick.laptop, other), 10, "the other one to be told of")
    first = _moment(quick.laptop, other)
    processes.wait_until(lambda: _moment(quick.laptop, other) > first + 1_000, 10, "it to be told of again")
    assert _moment(quick.laptop, spawn) == told_at
    for each in (spawn, other):
        relay(quick.laptop, "stop", each)
        quick.until(each, "cancelled")


def _moment(node: Node, spawn: str) -> int:
    with closing(sqlite3.connect(f"file:{node.home / 'relay.db'}?mode=ro", uri=True)) as store:
        return int(store.execute("SELECT at FROM tails WHERE spawn = ?", (spawn,)).fetchone()[0])

"""The shim's pure parts: slots, ladder, wire, and the process table by `ps`."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.spawn.shim import folder, processes, processes_ps, record, run, spec, syncing
from relay.spawn.shim.ladder import GIVE_UP, KILL, SOFT, TERM, Ladder

FIELDS: dict[str, object] = {"exit_code": 0, "text": "é" * 20}


def test_a_slot_comes_back() -> None:
    assert record.decode(record.encode(FIELDS).ljust(record.SLOT_BYTES, b"\0")) == FIELDS
    assert record.decode(bytes(record.SLOT_BYTES)) is None
    with pytest.raises(ValueError, match="holds"):
        record.encode({"text": "x" * record.ROOM})


@pytest.mark.parametrize("payload", [b"[]", b"{}", b"{"])
def test_a_promise_that_a_task_has_written_over_stays_one(tmp_path: Path, payload: bytes) -> None:
    """Else another shim would begin what has run."""
    folder.furnish(str(tmp_path / "attempt"))
    assert not run.is_promised(str(tmp_path / "attempt"))
    with (tmp_path / "attempt" / folder.RECORD).open("r+b") as file:
        file.seek(record.INTENT * record.SLOT_BYTES)
        file.write(struct.pack("<II", len(payload), zlib.crc32(payload)) + payload)
    assert run.is_promised(str(tmp_path / "attempt"))


@given(st.integers(0, 60), st.integers(1, 255))
def test_any_changed_byte_makes_a_slot_absent(at: int, change: int) -> None:
    slot = bytearray(record.encode(FIELDS))
    slot[at] ^= change
    assert record.decode(bytes(slot)) is None


@given(st.binary(max_size=record.SLOT_BYTES))
def test_noise_is_no_slot(noise: bytes) -> None:
    assert record.decode(noise) is None


def test_every_torn_write_is_absent() -> None:
    slot = record.encode(FIELDS)
    assert all(record.decode(slot[:size].ljust(512, b"\0")) is None for size in range(len(slot)))


def test_a_long_reason_is_cut_to_fit() -> None:
    error: dict[str, object] = {"kind": "bad_cwd", "errno": 2, "text": "é" * 400}
    assert record.encode(record.fit({"exit_code": None, "error": error}))
    assert str(error["text"]).startswith("é")


def steps(ladder: Ladder) -> list[tuple[float, str]]:
    taken: list[tuple[float, str]] = []
    while (at := ladder.next_deadline()) is not None:
        step = ladder.due(at)
        assert step is not None
        if (taken[-1:] or [(0.0, "")])[0][1] != step:
            taken.append((round(at, 3), step))
    return taken


def test_the_ladder_of_a_stop() -> None:
    ladder = Ladder()
    ladder.stop(10, 2)
    assert ladder.due(9.9) is None
    assert steps(ladder) == [(10, SOFT), (12, TERM), (13, KILL), (14, GIVE_UP)]


def test_the_ladder_of_a_natural_end() -> None:
    ladder = Ladder()
    ladder.ended(10)
    ladder.stop(10.5, 2)
    assert steps(ladder) == [(11, TERM), (12, KILL), (13, GIVE_UP)]


def test_the_end_of_the_main_process_shortens_the_grace() -> None:
    ladder = Ladder()
    ladder.stop(10, 2)
    assert ladder.due(10) == SOFT
    ladder.stop(10.1, 2)
    ladder.ended(10.2)
    assert steps(ladder) == [(10.2, TERM), (11.2, KILL), (12.2, GIVE_UP)]


def test_the_whole_ladder_is_shorter_than_the_promise() -> None:
    ladder = Ladder()
    ladder.stop(0, spec.Spec(**{**_fields(), "stop_grace_s": 60.0}).stop_grace_s)
    assert steps(ladder)[-1][0] < 5


def _fields() -> dict[str, Any]:
    return {
        "serial": 1,
        "folder": "/a/b-1",
        "argv": ["x"],
        "env": {},
        "cwd": "/",
        "timeout_s": None,
        "stop_signal": 2,
        "stop_grace_s": 1.0,
        "log_limit": 1,
        "has_stdin": True,
    }


def test_launches_are_cut_from_a_stream() -> None:
    stream = spec.pack(_fields(), b"\xff\0text") + spec.pack({**_fields(), "serial": 2}, b"")
    buffer = bytearray()
    found = []
    for byte in stream:
        buffer.append(byte)
        if (launch := spec.unpack(buffer)) is not None:
            found.append(launch)
    assert [(launch.serial, launch.stdin) for launch in found] == [(1, b"\xff\0text"), (2, b"")]
    assert not buffer and found[0].name == "b-1"


def test_this_process_is_known() -> None:
    me = processes.look_up(os.getpid())
    assert me is not None and me.alive and me.parent == os.getppid()
    assert processes.same(me.pid, me.ticks) and not processes.same(me.pid, me.ticks + 1)
    assert not processes.signal_exactly(me.pid, me.ticks + 1, 9)
    assert os.getpid() in processes.descendants(processes.table(), {os.getppid()})


@pytest.mark.skipif(shutil.which("ps") is None, reason="needs ps: apt-get install procps")
def test_ps_tells_the_same_where_there_is_no_proc() -> None:
    mine = processes.look_up(os.getpid())
    row = next(row for row in processes_ps.rows() if row[0] == os.getpid())
    assert mine is not None
    assert row[1:3] == (mine.parent, mine.session) and row[4] > 1_600_000_000


@pytest.mark.skipif(shutil.which("ps") is None, reason="needs ps: apt-get install procps")
def test_ps_finds_who_carries_the_mark() -> None:
    mark = f"RELAY_ATTEMPT=ps-{os.getpid()}"
    with subprocess.Popen(["sleep", "30"], env={"RELAY_ATTEMPT": mark.partition("=")[2]}) as process:
        try:
            assert processes_ps.carriers(mark.encode()) == {process.pid}
            assert processes.carriers(processes.table(), mark.encode()) == {process.pid}
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("release", "tells"),
    [("5.8.0", True), ("6.1.0-13-amd64", True), ("10.0", True), ("5.7.19", False), ("4.19+", False), ("odd", False)],
)
def test_a_kernel_that_tells_what_it_could_not_write_is_known_by_its_release(release: str, tells: bool) -> None:
    assert syncing.tells(release) is tells


@pytest.mark.parametrize("letter", ["x", '"', "\x1b", "\u00fc", "\u6f22", "\U0001f600", "\udc80"])
def test_who_stops_fits_its_slot_whatever_the_letters(letter: str) -> None:
    stop = {"at": 2**53, "by": record.short(f"ann: {letter * 1_000}")}
    assert record.decode(record.encode(stop)) == stop and str(stop["by"]).startswith("ann: ")
    assert record.short(f"ann{letter}") == f"ann{letter}".encode("utf-8", "replace").decode()


_ENDLESS = """
import os, signal
from relay.spawn.shim.processes import look_up
from relay.spawn.shim.tree import Reaper
caught, ended = [], []
signal.signal(signal.SIGCHLD, lambda *_: caught.append(1))
children = [os.fork() or os._exit(0) for _ in range(250)]
os.fork() or (signal.alarm(20), signal.pause())
reap = Reaper(lambda pid, status, usage: ended.append(pid))
while any(look_up(pid).alive for pid in children):
    pass
caught.clear()
reap()
first = len(ended), reap.teems, reap.childless, len(caught) > 0
while len(ended) < 250:
    reap()
print(*first, len(ended), reap.childless, flush=True)
os.killpg(0, signal.SIGKILL)
"""


def test_what_ends_without_end_keeps_nobody_from_seeing_a_stop() -> None:
    command = [sys.executable, "-c", _ENDLESS]
    done = subprocess.run(command, capture_output=True, text=True, start_new_session=True, timeout=30, check=False)
    assert done.stdout == "200 True False True 250 False\n", done.stderr

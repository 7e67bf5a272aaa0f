"""`relay ps --watch` on a real terminal: it follows, is resized, outlives a restart, and leaves it as it was."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from typing import Any

import psutil
import pytest
from rich.console import Console

from relay.cli.watching.board import draw
from relay.testing import processes
from tests.api.canned_broker import RUNNING
from tests.api.canned_broker import spawn as listed
from tests.e2e.scene import Scene, fresh, relay, started
from tests.live.terminal import terminal


def test_it_follows_what_happens_and_ends_with_q(granted: Scene) -> None:
    first, second = fresh("watched"), fresh("watched")
    spawn = granted.begin("sleep 60", name=first)
    granted.until(spawn, "running")
    with terminal(granted.laptop, "ps", "--watch", "--name", "watched-*", size=(24, 100)) as person:
        person.until(first.encode())
        person.until(b"Working")
        other = granted.begin("sleep 60", name=second)
        person.until(second.encode())
        relay(granted.laptop, "stop", spawn)
        person.until(b"Stopped")
        person.type(b"q")
        assert person.exit() == 0
        assert b"\x1b[?1049l" in person.seen and b"\x1b[?25h" in person.seen
        assert person.is_as_before
    relay(granted.laptop, "stop", other)


@pytest.mark.parametrize("width", [20, 24, 40, 60, 80, 120])
def test_how_it_stands_is_there_however_narrow_the_window(width: int) -> None:
    console = Console(width=width, file=io.StringIO())
    long = listed(**RUNNING, name="a-name-that-is-rather-long", broker={"id": "b" * 56, "name": "a-broker-with-a-name"})
    found: Any = {"spawns": [long], "seq": 0, "matched": 1, "exact": True}
    console.print(draw(found, width, 6, is_away=False))
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "Working" in said and "a-na" in said
    assert all(len(line) <= width for line in said.splitlines())
    assert ("make test" in said) is (width >= 60)


def test_what_goes_on_is_not_pushed_out_of_the_window_by_what_has_ended() -> None:
    ended = [listed(id=f"ended{at:011}", name=f"ended-{at}") for at in range(30)]
    spawns = [*ended[:20], listed(**RUNNING, name="goes-on"), *ended[20:]]
    console = Console(width=80, file=io.StringIO())
    console.print(draw({"spawns": spawns, "seq": 0, "matched": 31, "exact": True}, 80, 9, is_away=False))  # type: ignore[typeddict-item]
    rows = [line.split()[0] for line in console.file.getvalue().splitlines() if line]  # type: ignore[attr-defined]
    assert rows[:6] == ["NAME", "ended-0", "ended-1", "ended-2", "ended-3", "goes-on"]
    assert "and 26 more" in console.file.getvalue()  # type: ignore[attr-defined]


def test_the_window_may_be_any_size(granted: Scene) -> None:
    names = [fresh("sized") for _ in range(8)]
    spawns = [granted.begin("sleep 60", name=name) for name in names]
    with terminal(granted.laptop, "ps", "-w", "--state", "live", "--name", "sized-*", size=(6, 60)) as person:
        person.until(b"and 6 more")
        person.resize(30, 120)
        shown = person.until(names[0].encode())  # the list is newest first
        assert all(name.encode() in shown for name in names)
        person.resize(3, 20)
        person.until(b"and 8 more")
        person.type(b"\x03")
        assert person.exit() == 130
        assert person.is_as_before
    for spawn in spawns:
        relay(granted.laptop, "stop", spawn)


def test_ctrl_z_stops_it_and_the_script_that_runs_it_until_they_go_on(granted: Scene) -> None:
    script = ("sh", "-c", '"$0" "$@"; echo after', sys.executable)
    with terminal(granted.laptop, "ps", "--watch", program=script, is_job=True) as person:
        for _ in range(2):
            person.until(b"\x1b[?1049h")
            person.until(b"q ends")
            person.type(b"\x1a")
            person.until(b"\x1b[?1049l")
            processes.wait_until(lambda: _is_stopped(person.process.pid), 10, "the script to stand still")
            assert person.is_as_before
            os.killpg(person.process.pid, signal.SIGCONT)
        person.until(b"q ends")
        person.type(b"q")
        person.until(b"after")
        assert person.exit() == 0 and person.is_as_before


def _is_stopped(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_STOPPED


def test_it_outlives_a_restart_of_its_broker(granted: Scene) -> None:
    name = fresh("outlives")
    with terminal(granted.laptop, "ps", "--watch", size=(40, 100)) as person:
        person.until(b"q ends")
        granted.laptop.stop()
        person.until(b"the broker is away; trying again")
        granted.laptop.start()
        granted.linked()
        spawn = granted.begin("true", name=name)
        person.until(name.encode())
        granted.until(spawn, "completed")
        person.until(b"Done")
        granted.vps.stop()
        person.process.send_signal(signal.SIGTERM)
        assert person.exit() == 128 + signal.SIGTERM
        assert person.is_as_before


def test_what_needs_a_person_stands_on_top(granted: Scene) -> None:
    granted.grant("--agent", "shell", "--ask")
    asking, older = fresh("top"), fresh("top")
    spawn = granted.begin("true", name=asking)
    granted.until(spawn, "held")
    relay(granted.laptop, "spawn", older, "shell", "sleep 60")
    with terminal(granted.laptop, "ps", "-w", "--state", "live", "--name", "top-*", size=(24, 100)) as person:
        shown = person.until(b"1 needs you")
        assert shown.index(asking.encode()) < shown.index(older.encode()), shown
        person.type(b"q")
        assert person.exit() == 0
    relay(granted.laptop, "stop", older)
    relay(granted.laptop, "stop", spawn)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_without_a_terminal_each_change_is_a_line(granted: Scene, how: signal.Signals) -> None:
    name = fresh("lines")
    with started(granted.laptop, "ps", "--watch", "--json", "--name", "lines-*", "--state", "live") as process:
        assert process.stdout is not None
        processes.wait_until(lambda: _follows(granted), 15, "it to follow the events")
        spawn = granted.begin("sleep 60", name=name)
        line = json.loads(process.stdout.readline())
        assert (line["change"], line["spawn"]["name"]) == ("new", name)
        granted.until(spawn, "running")
        relay(granted.laptop, "stop", spawn)
        told = line
        while told["change"] != "gone":
            told = json.loads(process.stdout.readline())
            assert told["spawn"]["id"] == spawn
        process.send_signal(how)
        assert process.wait(10) in (130, -signal.SIGTERM)


def _follows(scene: Scene) -> bool:
    """Whether somebody has the control socket open."""
    assert scene.laptop.process is not None
    held = psutil.Process(scene.laptop.process.pid).net_connections("unix")
    return len([each for each in held if str(each.laddr) == str(scene.laptop.socket)]) > 1

"""The looking verbs over a broker's answers: filters, counts, the course of a spawn, the one line, and bare relay."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from typing import Any

import pytest

from relay.api.durations import rfc3339
from relay.api.home import Home, make_socket_folder
from relay.cli import ages, course, table
from relay.cli.watching.changes import Changes
from relay.testing.processes import wait_until
from tests.api.canned_broker import LAPTOP, NOW, RUNNING, VPS, CannedBroker, mark_set_up, spawn
from tests.cli.conftest import Relay

# ps


def test_every_filter_is_asked_of_the_broker(relay: Relay, broker: CannedBroker) -> None:
    relay("ps", "-s", "failed", "--state", "running", "--agent", "shell", "--label", "a=1", "--label", "b=x=y")
    relay("ps", "--name", "ci-*", "--origin", "laptop", "-b", "vps", "--sort", "name", "-r", "-n", "5", "--all")
    relay("ps", "--since", "2026-01-02T03:04:05.678Z")
    relay("ps", "--known")
    *around, known = broker.looked
    assert [each.pop("around") for each in around] == ["1", "1", "1"] and known == {}
    first, second, third = around
    assert first.pop("labels") == '{"a": "1", "b": "x=y"}'
    assert first == {"states": "failed,running", "agent": "shell"}
    assert second == {"name": "ci-*", "origin": "laptop", "broker": "vps", "sort": "name", "reverse": "1"} | {
        "limit": "5",
        "all": "1",
    }
    assert third == {"since": "1767323045678"}


def test_ps_says_how_many_it_does_not_show(relay: Relay, broker: CannedBroker) -> None:
    broker.matched = 4312
    assert relay("ps", "--all").stderr == "1 of 4,312 are shown\n"
    broker.matched, broker.is_exact = 10_000, False
    done = relay("ps", "--all", "--json")
    assert done.stderr == "1 of more than 10,000 are shown\n" and len(json.loads(done.stdout)) == 1


def test_ps_says_why_there_is_nothing(relay: Relay, broker: CannedBroker) -> None:
    broker.spawns = {}
    assert "run something" in relay("ps").stderr
    assert "--all looks through everything" in relay("ps", "--agent", "claude").stderr
    assert relay("ps", "--agent", "claude", "--all").stderr == "nothing matches\n"


def test_a_label_without_a_value_is_told(relay: Relay, broker: CannedBroker) -> None:
    done = relay("ps", "--label", "ticket")
    assert done.returncode == 2 and "KEY=VALUE" in done.stderr


def test_who_is_out_of_reach_is_shown_by_its_last_word(relay: Relay, broker: CannedBroker) -> None:
    broker.spawns = {"build": [spawn(**RUNNING, in_reach=False)], "done": [spawn(name="done", in_reach=False)]}
    lines = relay("ps").stdout.splitlines()
    assert "Unreachable" in lines[1] and "Working " in lines[1] and " ago; make test" in lines[1]
    assert "Unreachable" not in lines[2], "what has ended will not change"


def test_why_it_waits_is_cut_by_nothing_but_a_terminal(relay: Relay, broker: CannedBroker) -> None:
    why = "after first (running), second (waiting), third (waiting) and 2 more"
    broker.spawns = {"build": [spawn(**RUNNING | {"state": "waiting", "reason": why})]}
    assert relay("queue").stdout.splitlines()[1].endswith(why)


def test_watch_needs_a_terminal_or_json(relay: Relay, broker: CannedBroker) -> None:
    done = relay("ps", "--watch")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "error: there is no terminal to show it on"
    assert "ps --watch --json" in done.stderr


def test_a_stream_of_changes_tells_each_once() -> None:
    changes, first, second = Changes(), spawn(**RUNNING), spawn(id="b" * 16)
    assert [each["change"] for each in changes.to([first, second])] == ["is", "is"]  # type: ignore[list-item]
    assert list(changes.to([first | {"ack": "another"}, second])) == []  # type: ignore[list-item]
    told = list(changes.to([spawn(id="c" * 16), spawn()]))  # type: ignore[list-item]
    found = [(each["change"], each["spawn"]["id"][0]) for each in told]
    assert found == [("changed", "a"), ("new", "c"), ("gone", "b")]


# show


def _step(state: str, seq: int, who: dict[str, str], at: str = NOW, reason: str = "") -> dict[str, Any]:
    return {"at": at, "state": state, "attempt": min(seq, 1), "seq": seq, "reason": reason, "from": who}


def test_show_tells_who_said_what_when(relay: Relay, broker: CannedBroker) -> None:
    steps = [_step("queued", 0, LAPTOP), _step("running", 3, VPS, NOW.replace(":05.", ":09."))]
    marks = [{"at": NOW.replace(":05.", ":07."), "mark": "paused", "by": "ann", "text": "later\x1b"}]
    course = {"timeline": steps, "timeline_earlier": 2, "marks": marks, "clock_skew_ms": -61_000}
    broker.spawns["build"] = [spawn(**RUNNING, **course)]
    told = relay("show", "build").stdout
    rows = [line.split() for line in told.partition("WHEN")[2].splitlines()[1:4]]
    assert [row[2] for row in rows] == ["queued", "paused", "running"]
    assert rows[0][3:] == ["laptop", "(this", "broker)"] and rows[2][3:] == ["1", "vps"]
    assert "(2 earlier words of vps: " in told and "(the clock of vps is 61 s behind this machine's)" in told
    assert "later\\x1b" in told


def test_the_course_fits_a_narrow_terminal() -> None:
    row = ["02:22:19.935", "waiting", "1", "laptop (this broker)", "retry 1 of 2 in 2 s"]
    for room in (40, 50, 60, 80):
        lines = table.render(course.HEADINGS, [row, row], room, first_to_go=course.FIRST_TO_GO)
        assert max(map(len, lines)) <= room and "retry 1 of 2" in lines[1] + lines[2] and row[0] in lines[1], lines


def test_show_tells_moments_in_the_time_of_this_machine(relay: Relay, broker: CannedBroker) -> None:
    began = time.time()
    later = rfc3339(int(began + 90) * 1000)
    tried = {"attempt": 1, "state": "failed", "exit_code": 7, "signal": None, "ended": NOW, "reason": ""}
    asked = {"verb": "edit", "at": NOW, "error": None}
    beside = {"not_before": later, "attempts": [tried | {"again": "retry"}], "asked": [asked]}
    waits = {"state": "waiting", "ended": None} | beside
    broker.spawns["build"] = [spawn(**waits)]
    soon = [ages.when(later)]
    told = relay("show", "build").stdout
    soon.append(ages.when(later))  # a day may have begun meanwhile
    took = time.time() - began
    assert NOW not in told and later not in told
    assert re.search(rf"^attempt 1: +Failed, exit code 7 at {ages.when(NOW)}; then a retry$", told, re.MULTILINE)
    left = re.search(rf"^not before: +({'|'.join(soon)}) \(in (\d+) s\)$", told, re.MULTILINE)
    assert left is not None and 88 - took < int(left[2]) <= 90, told


# status --short


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        ({"running": 2, "needs_you": 1, "queued": 0}, "relay 2 running, 1 needs you"),
        ({"running": 0, "needs_you": 2, "queued": 3}, "relay 2 need you, 3 queued"),
        ({"running": 0, "unreachable": 2, "needs_you": 0, "queued": 0}, "relay 2 unreachable"),
        ({"running": 0, "needs_you": 0, "queued": 0}, "relay idle"),
    ],
)
def test_the_short_status_is_one_line(
    relay: Relay, broker: CannedBroker, counts: dict[str, int], line: str
) -> None:
    broker.everywhere = counts
    done = _in_time(relay, "status", "--short")
    assert (done.returncode, done.stdout, done.stderr) == (0, line + "\n", "")
    told = json.loads(_in_time(relay, "status", "--short", "--json").stdout)
    assert told["text"] == line and told["working"] == counts["running"] and told["set_up"] and told["running"]


def test_the_short_status_of_a_broker_that_hangs_is_one_line_too(relay: Relay, home: Home) -> None:
    mark_set_up(home)
    make_socket_folder(home)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(home.socket)
        listening.listen(8)
        done = relay("status", "--short")
    assert (done.returncode, done.stdout, done.stderr) == (1, "relay does not answer\n", "")


def _in_time(relay: Relay, *words: str) -> subprocess.CompletedProcess[str]:
    """What is answered within the second that a prompt waits, which passes now and then on a busy machine."""
    found: list[subprocess.CompletedProcess[str]] = []

    def is_answered() -> bool:
        found.append(relay(*words))
        return found[-1].returncode == 0

    wait_until(is_answered, 30, "an answer in time")
    return found[-1]


def test_the_short_status_without_a_broker(relay: Relay, home: Home) -> None:
    done = relay("status", "--short")
    assert (done.returncode, done.stdout, done.stderr) == (1, "relay is not set up\n", "")
    mark_set_up(home)
    done = relay("status", "--short")
    assert (done.returncode, done.stdout, done.stderr) == (1, "relay is down\n", "")
    assert json.loads(relay("status", "--short", "--json").stdout) == {
        "running": False,
        "set_up": True,
        "text": "relay is down",
    }


# bare relay


def test_what_never_ran_has_no_logs_to_look_at(relay: Relay, broker: CannedBroker) -> None:
    never = {"started": None, "attempt": 0, "exit_code": None, "result": None}
    broker.spawns = {
        "done": [spawn(name="done")],
        "no": [spawn(name="no", id="b" * 16, state="rejected", reason="no grant", **never)],
        "bad": [spawn(name="bad", id="c" * 16, state="failed", exit_code=3)],
    }
    told = relay().stdout
    assert "no on vps was refused; nothing ran (" in told and "): no grant" in told
    assert "relay show bbbbbbbb" in told and "logs bbbbbbbb" not in told
    assert "relay logs cccccccc" in told and "relay result abcdefgh" in told
    assert told.index("no on vps") < told.index("done on vps"), "what went wrong is told first"


def test_the_last_look_is_remembered_by_event(relay: Relay, broker: CannedBroker, home: Home) -> None:
    first = json.loads(relay("--json").stdout)
    assert first["ended"] and first["since"] is None, "nobody looked before"
    with open(home.seen, encoding="utf-8") as file:
        seen = json.load(file)
    assert seen["seq"] == 7
    told = json.loads(relay("--json").stdout)
    assert told == {"since": seen["at"], "needs_you": [], "ended": [], "going_on": 0, "unreachable": 0}
    assert broker.looked[-1]["seq"] == "7"


def test_a_look_that_an_older_relay_or_nobody_wrote_down(relay: Relay, broker: CannedBroker, home: Home) -> None:
    for text in (f'{{"at":"{NOW}"}}', "[1]", '{"at":"yesterday","seq":"x"}', ""):
        with open(home.seen, "w", encoding="utf-8") as file:
            file.write(text)
        assert relay().returncode == 0
        assert "seq" not in broker.looked[-1]
    assert [looked["since"] for looked in broker.looked] == ["1767323045678", "0", "0", "0"]

"""What is shown of spawns on a real mesh: whose word it is, over restarts, and what was missed while away."""

from __future__ import annotations

import socket

from relay.testing import processes
from tests.e2e.scene import Scene, fresh, gone_within, refused, relay, relay_json, said


def _states(found: dict[str, object]) -> list[tuple[str, str]]:
    steps = found["timeline"]
    assert isinstance(steps, list)
    return [(each["state"], each["from"]["name"]) for each in steps]


def test_the_course_of_a_spawn_says_who_said_so_when(granted: Scene) -> None:
    spawn = granted.shell("exit 3", "--label", "n=1", status=3)["id"]
    found = relay_json(granted.laptop, "show", spawn)
    told = _states(found)
    assert told[0] == ("queued", "laptop") and told[-1] == ("failed", "vps")
    assert all(who == "vps" for state, who in told if state not in ("queued", "delivered"))
    assert [each["seq"] for each in found["timeline"]] == sorted(each["seq"] for each in found["timeline"])
    first = next(each["seq"] for each in found["timeline"] if each["seq"])
    assert found["timeline_earlier"] == first - 1
    assert isinstance(found["clock_skew_ms"], int)
    there = relay_json(granted.vps, "show", spawn)
    assert _states(there)[:2] == [("delivered", "vps"), ("starting", "vps")]
    assert [state for state, _ in _states(there)][-3:] == ["starting", "running", "failed"] or _states(there)[-1] == (
        "failed",
        "vps",
    )
    granted.laptop.stop()
    granted.laptop.start()
    assert relay_json(granted.laptop, "show", spawn)["timeline"] == found["timeline"]
    text = relay(granted.laptop, "show", spawn).stdout.decode()
    assert "SAID BY" in text and "laptop (this broker)" in text


def test_a_question_and_its_answer_stand_beside_the_states(granted: Scene) -> None:
    granted.grant("--agent", "shell", "--ask")
    spawn = granted.begin("true")
    asked = granted.until(spawn, "held")["needs"]["request"]
    relay(granted.laptop, "edit", spawn, "--priority", "1")  # it is asked anew
    processes.wait_until(lambda: granted.show(spawn)["needs"]["request"] != asked, 15, "the other question")
    relay(granted.vps, "approve", spawn)
    granted.until(spawn, "completed")
    marks = relay_json(granted.vps, "show", spawn)["marks"]
    assert [each["mark"] for each in marks] == ["asked (held)", "no longer asked", "asked (held)", "answered: approve"]
    assert marks[3]["by"].endswith(" on vps") and not marks[1]["by"], "nobody answered the first"


def test_what_cannot_be_listed_is_told_with_what_can(two: Scene) -> None:
    error = refused(two.laptop, "ps", "--sort", "x", code="usage")
    assert "started" in error["why"] and error["hint"].endswith("ps --sort started")


def test_filters_reach_over_the_mesh(granted: Scene) -> None:
    label, name = fresh("label"), fresh("bad")
    bad = granted.shell("exit 3", "--label", f"k={label}", name=name, status=3)["id"]
    good = granted.shell("true", "--label", f"k={label}")["id"]

    def listed(*words: str) -> list[str]:
        return [each["id"] for each in relay_json(granted.laptop, "ps", "--label", f"k={label}", *words)]

    assert listed() == [good, bad] and listed("-r") == [bad, good]
    assert listed("--name", f"{name[:-1]}?") == [bad] and listed("--agent", "shell", "-r") == [bad, good]
    assert listed("--state", "failed") == [bad] and listed("--state", "ended", "--broker", "vps") == [good, bad]
    assert listed("--state", "live") == listed("--broker", "laptop", "--all") == listed("--agent", "exec") == []
    assert listed("--origin", "laptop", "--since", "10m", "--sort", "state") == [bad, good]
    for words in ((), ("--all",), ("--known",)):
        done = relay(granted.laptop, "ps", *words, "--label", f"k={label}", "--limit", "1")
        assert said(done) == b"1 of 2 are shown\n", words
    assert relay(granted.laptop, "ps", "--state", "nonsense").returncode == 2


def test_a_late_word_is_told_however_long_ago_it_ended(granted: Scene) -> None:
    mark = granted.vps.work / fresh("mark")
    spawn = granted.begin(f"while [ ! -e {mark} ]; do sleep 0.05; done; echo over > {mark}")
    granted.until(spawn, "running")
    granted.vps.stop()  # what it runs goes on, and ends unheard
    mark.write_text("go")
    processes.wait_until(lambda: mark.read_text() == "over\n", 15, "the task's last act")
    gone_within(spawn, 15)
    looked = relay_json(granted.laptop)
    assert spawn not in [each["id"] for each in looked["ended"]]
    out_of_reach = next(each for each in relay_json(granted.laptop, "ps") if each["id"] == spawn)
    assert out_of_reach["in_reach"] is False and out_of_reach["state"] == "running"
    granted.vps.start()
    granted.linked()
    ended = granted.until(spawn, "completed")
    found = relay_json(granted.laptop)
    assert spawn in [each["id"] for each in found["ended"]]
    assert ended["ended"] < found["since"], "it had ended before the last look"
    assert spawn not in [each["id"] for each in relay_json(granted.laptop)["ended"]]


def test_a_stream_of_events_begins_in_silence(two: Scene) -> None:
    """The answer's head comes at once: a client that waits for it in vain would take the broker for stopped."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(20)
        asking.connect(str(two.laptop.socket))
        asking.sendall(b"GET /api/v1/events?follow=1 HTTP/1.1\r\nHost: relay\r\n\r\n")
        assert asking.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_no_view_says_that_something_runs_where_nobody_can_look(granted: Scene) -> None:
    """The machine that ran it is gone: each view has its last word, as a last word."""
    name = fresh("unseen")
    spawn = granted.begin("sleep 60", name=name)
    granted.until(spawn, "running")
    running = relay_json(granted.laptop, "status")["everywhere"]["running"]
    granted.vps.kill()
    processes.wait_until(lambda: not granted.show(spawn)["in_reach"], 20, "laptop to see it")
    said = {}
    for words in (["ps"], ["queue"], ["show", spawn], ["result", spawn], ["wait", spawn, "--timeout", "1.5s"]):
        done = relay(granted.laptop, *words)
        said[words[0]] = text = done.stdout.decode() + done.stderr.decode()
        assert "Unreachable" in text and "Working" in text, (words, text)
    assert "took:" not in said["show"], "nobody knows how long it runs"
    short = relay(granted.laptop, "status", "--short").stdout.decode()
    assert "1 on machines out of reach" in relay(granted.laptop).stdout.decode()
    assert "1 unreachable" in short and f"{running} running" not in short
    granted.vps.start()
    relay(granted.laptop, "stop", spawn)
    granted.until(spawn, "cancelled")


def test_what_was_sent_and_not_answered_says_so(granted: Scene) -> None:
    with granted.vps.asleep():
        spawn = granted.begin("true")
        found = granted.show(spawn)
        assert (found["state"], found["reason"]) == ("queued", "sent to vps, no word yet")
    granted.until(spawn, "completed")


def test_who_waits_for_what_is_away_is_told_once(granted: Scene) -> None:
    granted.vps.kill()
    processes.wait_until(lambda: not granted.laptop.status()["links"], 20, "laptop to see it")
    spawn = granted.begin("true")
    told = relay(granted.laptop, "wait", spawn, "--timeout", "8s").stderr.decode()
    assert told.partition("error:")[0].count(": Queued (") == 1, told
    granted.vps.start()
    granted.until(spawn, "completed")

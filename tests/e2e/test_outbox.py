"""`relay outbox`: why each envelope is still here, in true words, and what its owner may do about it."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from relay.testing import processes
from relay.testing.control import ControlError
from relay.testing.node import Node
from tests.e2e.scene import Scene, error_of, fresh, relay, relay_json


@pytest.fixture
def asleep(granted: Scene) -> Scene:
    """vps is stopped, and laptop knows."""
    granted.vps.kill()
    processes.wait_until(lambda: granted.laptop.status()["links"] == 0, 10, "the link to be seen gone")
    return granted


def _ask(two: Scene, script: str) -> dict[str, Any]:
    found: dict[str, Any] = relay_json(two.laptop, *two.words("shell", script))
    return found


def _line(node: Node, where: str, envelope: str) -> dict[str, Any]:
    return next(each for each in relay_json(node, "outbox")[where] if each["id"] == envelope)


def _sql(node: Node, statement: str, *values: object) -> None:
    """Change the store of a broker that does not run."""
    assert not node.running
    with closing(sqlite3.connect(node.home / "relay.db")) as store, store:
        store.execute(statement, values)


def _envelope_of(node: Node, spawn: str) -> str:
    with closing(sqlite3.connect(f"file:{node.home}/relay.db?mode=ro", uri=True)) as store:
        return str(store.execute("SELECT lower(hex(id)) FROM outbox WHERE spawn = ?", (spawn,)).fetchone()[0])


def test_what_waits_for_a_sleeper_says_when_it_is_dialled_next(asleep: Scene) -> None:
    spawn = _ask(asleep, "true")["id"]
    envelope = _envelope_of(asleep.laptop, spawn)

    def waiting() -> dict[str, Any]:
        line = _line(asleep.laptop, "outgoing", envelope)
        return line if line["next_try"] else {}

    line = processes.wait_until(waiting, 10, "a pause between two dials")
    assert (line["kind"], line["peer"], line["state"], line["tries"]) == ("spawn", "vps", "pending", 0)
    assert re.search(r"gone without a word\); next dial in \d+ s$", line["reason"]), line
    shown = relay(asleep.laptop, "outbox").stdout.decode()
    assert envelope[:16] in shown and "gone without a word" in shown
    relay_json(asleep.laptop, "outbox", "drop", envelope)


def test_what_was_sent_and_is_not_receipted_says_so(granted: Scene) -> None:
    with granted.vps.asleep():
        spawn = _ask(granted, "true")["id"]
        envelope = _envelope_of(granted.laptop, spawn)
        line = processes.wait_until(
            lambda: (found := _line(granted.laptop, "outgoing", envelope))["next_try"] and found, 10, "it to be sent"
        )
        assert re.fullmatch(r"sent \d+ s ago, no receipt yet", line["reason"]), line
        assert line["tries"] == 1
        refused = relay(granted.laptop, "--json", "outbox", "drop", envelope)
        error = error_of(refused)
        assert (refused.returncode, error["code"]) == (2, "conflict")
        assert error["hint"] == f"relay stop {spawn}" and "may have been sent" in error["why"]
    granted.until(spawn, "completed")


def test_what_was_never_sent_is_dropped_and_its_spawn_ends(asleep: Scene) -> None:
    mark = asleep.vps.work / fresh("must-not-exist")
    spawn = _ask(asleep, f"touch {mark}")["id"]
    envelope = _envelope_of(asleep.laptop, spawn)
    done = relay_json(asleep.laptop, "outbox", "drop", envelope[:20])
    assert [each["id"] for each in done["done"]] == [envelope]
    ended = asleep.show(spawn)
    assert ended["state"] == "cancelled" and "never sent" in ended["reason"]
    assert envelope not in [each["id"] for each in relay_json(asleep.laptop, "outbox")["outgoing"]]
    schedule = relay_json(asleep.laptop, *asleep.words("shell", "true", options=("--every", "1h")))["id"]
    relay(asleep.laptop, "outbox", "drop", _envelope_of(asleep.laptop, schedule))
    (refused,) = [each for each in relay_json(asleep.laptop, "schedule", "list") if each["id"] == schedule]
    assert refused["state"] == "refused" and "never sent" in refused["error"]["message"]
    asleep.vps.start()
    asleep.linked()
    asleep.until(_ask(asleep, "true")["id"], "completed")
    assert not mark.exists()


def test_of_an_answer_that_is_dropped_it_is_said_that_nobody_had_it(asleep: Scene) -> None:
    spawn = _ask(asleep, "true")["id"]
    body = {"operation": fresh("answer"), "spawn": spawn, "verb": "send", "text": "yes", "wait_s": 0}
    with asleep.laptop.control() as control:
        assert control.post("answers", body)["accepted"] is None
        waiting = [each["id"] for each in control.get("outbox")["outgoing"] if each["kind"] == "answer"]
        relay(asleep.laptop, "outbox", "drop", waiting[-1], LOGNAME="ann")
        with pytest.raises(ControlError, match="dropped by ann, never sent"):
            control.post("answers", body | {"wait_s": 10})
    told = map(json.loads, relay(asleep.laptop, "events", "--json").stdout.splitlines())
    assert [each["accepted"] for each in told if each.get("answer") == body["operation"]] == [False]
    relay(asleep.laptop, "stop", spawn)


def test_a_dead_letter_is_sent_again(asleep: Scene) -> None:
    mark = asleep.vps.work / fresh("ran")
    spawn = _ask(asleep, f"echo once >> {mark}")["id"]
    envelope = _envelope_of(asleep.laptop, spawn)
    asleep.laptop.stop()
    # as a version that gave up on it would have left it
    _sql(asleep.laptop, "UPDATE outbox SET state = 'dead', reason = 'poison: x' WHERE id = ?", bytes.fromhex(envelope))
    asleep.laptop.start()
    asleep.vps.start()
    asleep.linked()
    dead = _line(asleep.laptop, "dead", envelope)
    assert (dead["state"], dead["next_try"]) == ("dead", None) and "vps failed at it five times" in dead["reason"]
    with asleep.laptop.control() as control:
        operation = {"operation": fresh("operation"), "id": envelope}
        assert [each["id"] for each in control.post("outbox/retry", operation)["done"]] == [envelope]
        # a client that lost the answer asks again: the same answer, and nothing is done twice
        assert [each["id"] for each in control.post("outbox/retry", operation)["done"]] == [envelope]
    asleep.until(spawn, "completed")
    assert mark.read_text() == "once\n"
    assert envelope not in [each["id"] for each in relay_json(asleep.laptop, "outbox")["dead"]]


def test_what_has_ended_is_not_brought_back_to_life(asleep: Scene) -> None:
    spawn = _ask(asleep, "echo 'a b'")["id"]
    envelope = _envelope_of(asleep.laptop, spawn)
    asleep.laptop.stop()
    _sql(asleep.laptop, "UPDATE outbox SET state = 'dead', reason = 'expired: x' WHERE id = ?", bytes.fromhex(envelope))
    _sql(asleep.laptop, "UPDATE spawns SET state = 'rejected', reason = 'no' WHERE id = ?", spawn)
    asleep.laptop.start()
    asleep.vps.start()
    asleep.linked()
    error = error_of(relay(asleep.laptop, "--json", "outbox", "retry", envelope))
    assert error["code"] == "conflict" and "rejected" in error["message"]
    assert error["hint"].startswith("relay spawn ") and "'echo '\"'\"'a b'\"'\"''" in error["hint"]
    # other tests may have left some that were refused
    dead = len(relay_json(asleep.laptop, "outbox")["dead"])
    everything = relay_json(asleep.laptop, "outbox", "retry", "--all", status=1)
    assert everything["done"] == []
    assert [each["error"]["code"] for each in everything["refused"]] == ["conflict"] * dead
    assert asleep.show(spawn)["state"] == "rejected"
    assert relay(asleep.laptop, "--json", "outbox", "drop", "--all").returncode == 2, "--dead has to be said"
    assert relay_json(asleep.laptop, "outbox", "drop", "--all", "--dead", "--broker", "laptop")["done"] == []
    assert len(relay_json(asleep.laptop, "outbox", "drop", "--all", "--dead", "--broker", "vps")["done"]) == dead
    assert relay_json(asleep.laptop, "outbox")["dead"] == []


def test_what_names_no_envelope_is_told(two: Scene) -> None:
    for words in (["retry", "ffffffffffff"], ["drop", "ff"], ["drop", "nonsense"]):
        error = error_of(relay(two.laptop, "--json", "outbox", *words))
        assert (error["code"], error["hint"]) == ("unknown_envelope", "relay outbox")
    for words in (["retry"], ["retry", "ffff", "--all"], ["drop", "ffff", "--broker", "vps"]):
        assert relay(two.laptop, "--json", "outbox", *words).returncode == 2
    with two.laptop.control() as control, pytest.raises(ControlError):
        control.post("outbox/retry", {"id": "%%%%"})


def test_a_stop_whose_request_never_came_is_answered_all_the_same(granted: Scene) -> None:
    """The target says that it will never start; else it stood as queued, and what comes after it waited."""
    with granted.vps.asleep():
        spawn = _ask(granted, "true")["id"]
        processes.wait_until(
            lambda: _line(granted.laptop, "outgoing", _envelope_of(granted.laptop, spawn))["tries"], 10, "it to be sent"
        )
        granted.vps.kill()
    granted.laptop.stop()
    _sql(granted.laptop, "DELETE FROM outbox WHERE spawn = ?", spawn)
    granted.laptop.start()
    either, only_then = (granted.begin("true", option, spawn) for option in ("--after-any", "--after"))
    relay_json(granted.laptop, "stop", spawn)
    granted.vps.start()
    ended = granted.until(spawn, "cancelled")
    assert ended["truth"]["from"] == granted.vps.id
    assert ended["reason"] == "stopped by its origin before it came"
    granted.until(either, "completed")
    assert granted.until(only_then, "cancelled")["reason"] == f"after {spawn}, which ended as cancelled"

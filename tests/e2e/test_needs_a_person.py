"""What needs a person, end to end: who is asked, who may answer, once, in time, and whose answer counts."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.api.durations import moment
from relay.testing import asking_agent, clocked
from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.e2e.scene import LONGEST, Scene, audit, fresh, put, refused, relay, relay_json

SILENT_S = 0.6


@pytest.fixture
def held(two: Scene) -> Iterator[Scene]:
    """`laptop` may run `shell` on `vps`, with `ask`."""
    two.grant("--agent", "shell", "--ask")
    yield two
    stop_all(two.vps)


@pytest.fixture
def watchful(two: Scene) -> Iterator[Scene]:
    """`laptop` may run `shell` on `vps`, which asks after 0.6 s of silence and knows an agent that asks."""
    config = (two.vps.home / "config.toml").read_text()
    two.vps.stop()
    two.vps.configure(f'watchdog = "{SILENT_S}s"')
    two.vps.launcher, launcher = asking_agent.LAUNCHER, two.vps.launcher
    two.vps.start()
    two.grant("--agent", "shell", "--agent", "asker", "--mode", "plan")
    two.linked()
    yield two
    stop_all(two.vps)
    (two.vps.home / "config.toml").write_text(config)
    two.vps.launcher = launcher
    two.vps.restart()


def stop_all(node: Node) -> None:
    """Stop whatever has not ended on a node."""
    with node.control() as control:
        for each in control.get("queue"):
            control.post(f"spawns/{each['id']}/stop", {})


def links(node: Node) -> int:
    return int(node.status()["links"])


def question(node: Node, spawn: str) -> dict[str, Any]:
    """The one question about a spawn, as this node's review has it, from which is left out who takes 3 s to answer."""
    found = lambda: [each for each in relay_json(node, "review")["questions"] if each["spawn"] == spawn]  # noqa: E731
    (one,) = wait_until(found, 15, f"a question about {spawn}")
    return dict(one)


def decisions(node: Node, spawn: str, *actions: str) -> list[tuple[str, str, str]]:
    """(action, decision, code) of a spawn's answers in an audit log."""
    found = [(each["kind"], each["decision"], each["code"]) for each in audit(node) if spawn in each["detail"]]
    return [each for each in found if each[0] in (actions or ("approve", "deny", "send"))]


# held


def test_what_is_approved_before_its_time_starts_at_its_time(held: Scene) -> None:
    """And says meanwhile what it waits for, not who approved it."""
    later = held.begin("true", "--at", "1h")
    held.until(later, "held")
    relay_json(held.vps, "approve", later)
    held.until(later, "waiting")
    wait_until(lambda: held.show(later)["reason"].startswith("not before "), 10, "the reason to be told")
    begun = time.time()
    spawn = held.begin("true", "--at", "3s")
    held.until(spawn, "held")
    relay_json(held.vps, "approve", spawn)
    assert moment(held.until(spawn, "completed")["started"]) > begun + 3 - 0.01, "given in whole milliseconds"


def test_a_held_request_shows_what_is_asked_and_its_origin_cannot_approve_it(held: Scene) -> None:
    mark = held.vps.work / fresh("mark")
    spawn = held.begin(f"touch {mark}")
    held.until(spawn, "held")
    asked = question(held.vps, spawn)
    assert asked["kind"] == "held" and asked["task"] == f"touch {mark}" and asked["agent"] == "shell"
    assert asked["origin"]["name"] == "laptop" and asked["fingerprint"].startswith(held.laptop.id[:4])
    assert asked["cwd"] == str(held.vps.work) and len(asked["hash"]) == len(asked["task_hash"]) == 64
    seen = question(held.laptop, spawn)
    assert (seen["request"], seen["hash"]) == (asked["request"], asked["hash"])
    assert held.show(spawn)["needs"]["request"] == asked["request"]
    error = refused(held.laptop, "approve", spawn, code="own_request")
    assert "chain of origin" in error["why"] and error["hint"].startswith("on vps: relay approve")
    assert held.show(spawn, on=held.vps)["state"] == "held" and not mark.exists()
    text = relay(held.vps, "review").stdout.decode()
    assert "fingerprint" in text and f"touch {mark}" in text and f"approve {spawn[:8]}" in text
    assert relay_json(held.vps, "approve", spawn)["accepted"] is True
    assert held.until(spawn, "completed")["needs"] is None and mark.exists()
    assert decisions(held.vps, spawn) == [("approve", "refused", "own_request"), ("approve", "allowed", "")]
    error = refused(held.vps, "deny", spawn, code="answered")
    assert "approved by" in error["why"] and "vps" in error["why"]


def test_all_that_a_held_request_asks_for_is_shown_to_who_answers_it(held: Scene) -> None:
    words = ("--collect", "*.key", "--memory", "64M", "--stdin", "--at", "3h")
    plain, more = held.begin("make"), held.begin("make", *words)
    asked = [f"ended after {LONGEST}", "sends back the files '*.key'", "memory up to 64 MiB"]
    for node in (held.vps, held.laptop):
        wait_until(lambda node=node: len(relay_json(node, "review")["questions"]) == 2, 10, "both questions")  # type: ignore[misc]
        assert question(node, plain)["terms"] == asked[:1]
        when, *found = sorted(question(node, more)["terms"], key=lambda each: not each.startswith("not before "))
        assert when.startswith("not before 20") and set(found) == {*asked, "its standard input stays open"}
        said = relay(node, "review").stdout.decode()
        assert all(f"\n  {line}\n" in said for line in asked)


def test_a_denied_request_is_refused_and_says_by_whom(held: Scene) -> None:
    spawn = held.begin("true")
    held.until(spawn, "held")
    relay_json(held.vps, "deny", spawn, "--reason", "not on a Friday")
    found = held.until(spawn, "rejected")
    assert found["error"]["code"] == "denied" and "not on a Friday" in found["error"]["message"]
    assert found["attempt"] == 0


def test_what_expired_held_and_is_retried_asks_anew_and_expires_again(held: Scene) -> None:
    launcher = held.vps.launcher
    held.vps.stop()
    held.vps.launcher = clocked.launcher(0)
    held.vps.start()
    held.linked()
    try:
        spawn = held.begin("true", "--ttl", "6s")
        held.until(spawn, "expired")
        relay_json(held.laptop, "retry", spawn)
        asked = held.until(spawn, "held")["needs"]["text"]
        assert "it was changed" not in asked
        said = relay(held.laptop, "review").stdout.decode()
        assert f"on vps: relay approve {spawn[:8]}" in said and f"relay stop {spawn[:8]}" in said
        assert f"relay deny {spawn[:8]}" not in said
        held.until(spawn, "expired")
    finally:
        held.vps.stop()
        held.vps.launcher = launcher
        held.vps.start()


def test_an_approval_is_for_one_run_and_its_tries(held: Scene) -> None:
    spawn = held.begin("exit 3", "--retries", "1")
    held.until(spawn, "held")
    relay_json(held.vps, "approve", spawn)
    assert held.until(spawn, "failed")["attempt"] == 2
    relay_json(held.laptop, "retry", spawn)
    asked = held.until(spawn, "held")
    assert asked["attempt"] == 2 and "it was approved before, and is asked for once more" in asked["needs"]["text"]
    refused(held.laptop, "approve", spawn, code="own_request")
    relay_json(held.vps, "approve", spawn)
    assert held.until(spawn, "failed")["attempt"] == 4
    relay_json(held.vps, "retry", spawn)  # a person there asks for it: that is a yes
    wait_until(lambda: held.show(spawn, on=held.vps)["attempt"] == 6, 15, "it to run once more")


def test_an_answer_to_another_request_does_nothing(held: Scene) -> None:
    spawn, other = held.begin("true"), held.begin("false")
    held.until(spawn, "held")
    held.until(other, "held")
    refused(held.vps, "approve", spawn, "--request", "q" * 16, code="unknown_request")
    refused(held.vps, "approve", spawn, "--request", question(held.vps, other)["request"], code="unknown_request")
    assert held.show(spawn, on=held.vps)["state"] == "held"
    refused(held.vps, "send", spawn, "hello", code="conflict")


def test_approval_is_judged_again_in_the_transaction_that_starts(held: Scene) -> None:
    spawn = held.begin("true")
    held.until(spawn, "held")
    trust = held.vps.home / "trust.toml"
    put(trust, trust.read_text().replace('"shell"', '"exec"'))
    relay_json(held.vps, "approve", spawn)
    assert held.until(spawn, "rejected")["error"]["code"] == "no_agent"


def test_held_requests_of_one_origin_are_bounded(held: Scene) -> None:
    request = {"name": "-", "agent": "shell", "task": "true", "broker": "vps", "cwd": str(held.vps.work)}
    with held.laptop.control() as control:
        made = [control.post("spawns", request)["id"] for _ in range(22)]
    states = [held.until(each, "held", "rejected") for each in made]
    over = [each["error"]["code"] for each in states if each["state"] == "rejected"]
    assert over == ["too_many"] * 2


def test_a_grant_that_asks_since_holds_what_waits(held: Scene) -> None:
    """Waiting and not yet approved: the grant is judged when it would start, and asks by then."""
    held.vps.relay("trust", "allow", held.laptop.id, "--no-ask", "--max-parallel", "1")
    first = held.begin("sleep 30")
    held.until(first, "running")
    second = held.begin("true")
    held.until(second, "waiting")
    held.vps.relay("trust", "allow", held.laptop.id, "--ask")
    relay(held.laptop, "stop", first)
    held.until(second, "held")
    relay_json(held.vps, "approve", second)
    held.until(second, "completed")


def test_an_edit_after_the_approval_voids_it_and_the_changed_request_is_asked_about(held: Scene) -> None:
    mark = fresh("mark")
    held.vps.relay("queue", "pause")
    try:
        spawn = held.begin(f"touch {mark}-old")
        held.until(spawn, "held")
        before = question(held.vps, spawn)
        relay_json(held.vps, "approve", spawn)
        held.until(spawn, "waiting")
        edited = relay_json(held.laptop, "edit", spawn, f"touch {mark}-new")
        assert edited["state"] == "held" and edited["task"] == f"touch {mark}-new"
        assert edited["reason"] == "it was changed after it was approved, so that a person has to approve it on vps"
        after = question(held.vps, spawn)
        assert after["hash"] != before["hash"] and after["request"] != before["request"]
        assert after["task"] == f"touch {mark}-new" and "changed after it was approved" in after["text"]
        refused(held.vps, "approve", spawn, "--request", before["request"], code="answered")
    finally:
        held.vps.relay("queue", "resume")
    assert held.show(spawn, on=held.vps)["state"] == "held"
    assert not list(held.vps.work.glob(f"{mark}-*"))
    relay_json(held.vps, "approve", spawn)
    held.until(spawn, "completed")
    assert [path.name for path in held.vps.work.glob(f"{mark}-*")] == [f"{mark}-new"]


def test_what_is_held_and_edited_can_be_approved_as_it_is_then(held: Scene) -> None:
    spawn = held.begin("exit 3")
    held.until(spawn, "held")
    before = question(held.vps, spawn)
    assert relay_json(held.laptop, "edit", spawn, "true")["state"] == "held"
    after = question(held.vps, spawn)
    assert after["hash"] != before["hash"] and after["task"] == "true"
    assert "changed since it was first asked" in after["text"]
    wait_until(lambda: held.show(spawn)["needs"]["request"] == after["request"], 10, "the origin to know")
    relay_json(held.vps, "approve", spawn)
    assert held.until(spawn, "completed", "failed")["state"] == "completed"


# silent, and typed text


def _talker(heard: Path) -> str:
    said = f'echo "got $line"; echo "$line" >> {heard}; [ "$line" = end ] && exit 0'
    return f"echo ready; while read line; do {said}; done"


def test_a_silent_task_asks_over_a_restart_and_is_sent_on(watchful: Scene) -> None:
    heard = watchful.vps.work / fresh("heard")
    spawn = watchful.begin(_talker(heard), "--stdin", "--mode", "plan")
    found = watchful.until(spawn, "needs_input")
    assert found["needs"]["kind"] == "silent" and "no output for 0.6 s" in found["needs"]["text"]
    assert relay_json(watchful.laptop, "send", spawn, "hello")["accepted"] is True
    # it runs for as long as its silence may last, which may be over before anybody looks
    request = _asked_after(watchful, spawn, found["needs"]["request"], "got hello\n")
    watchful.vps.restart()
    again = watchful.until(spawn, "needs_input", on=watchful.vps)
    assert again["needs"]["request"] == request == question(watchful.vps, spawn)["request"]
    assert relay_json(watchful.vps, "approve", spawn)["accepted"] is True
    watchful.linked()
    _send_through_a_kill(watchful, spawn, ["one", "two", "three", "four", "end"])
    end = watchful.until(spawn, "completed")
    said = ["hello", "one", "two", "three", "four", "end"]
    assert heard.read_text().split() == said
    assert end["result"]["output_tail"] == "ready\n" + "".join(f"got {each}\n" for each in said)


def _send_through_a_kill(scene: Scene, spawn: str, lines: list[str]) -> None:
    """What is sent while the target is killed and comes back is typed in order, each line once."""
    with scene.laptop.control() as control:
        for n, line in enumerate(lines):
            control.post("answers", {"spawn": spawn, "verb": "send", "text": line})
            if n == 1:
                scene.vps.kill()
    scene.vps.start()


def test_output_withdraws_the_question(watchful: Scene) -> None:
    go = watchful.vps.work / fresh("go")
    spawn = watchful.begin(f"echo a; while ! test -e {go}; do sleep 0.05; done; echo b; sleep 30", "--mode", "plan")
    request = _asked_after(watchful, spawn, "", "a\n")
    assert "--stdin" in refused(watchful.laptop, "send", spawn, "x", code="input_closed")["hint"]
    go.touch()
    _asked_after(watchful, spawn, request, "b\n")
    error = refused(watchful.laptop, "approve", spawn, "--request", request, code="answered")
    assert error["why"] == "it was no more needed"
    assert relay_json(watchful.vps, "deny", spawn, "--reason", "zu lang für\x1b heute")["accepted"] is True
    ended = watchful.until(spawn, "cancelled")
    assert ended["needs"] is None and ended["reason"].endswith(" on vps: zu lang für  heute"), "who asked is told why"
    refused(watchful.laptop, "send", spawn, "x", code="conflict")


def _asked_after(scene: Scene, spawn: str, request: str, said: str) -> str:
    """The question that comes after this one, and after this was said, once laptop has it.

    One that comes before, of a task that was kept from running for so long, is withdrawn with what is said.
    """

    def another() -> str:
        lines = map(json.loads, relay(scene.vps, "logs", spawn, "--json").stdout.splitlines())
        # an error is a line too: vps may not know the spawn yet
        printed, now = [each["at"] for each in lines if each.get("data") == said], scene.show(spawn)["needs"] or {}
        is_later = printed and now and moment(now["asked"]) >= moment(printed[0]) + SILENT_S - 0.01
        return str(now["request"]) if is_later and now["request"] != request else ""

    return wait_until(another, 15, "another question")


# an agent that asks


def test_an_agent_asks_and_is_answered_by_who_may(watchful: Scene) -> None:
    """A permission beyond the grant's mode only at the target or by `approve`; a question by its origin; asked once."""
    scene = watchful
    asked = [
        {"name": "a", "kind": "permission", "text": "may I write?", "tool": "write", "input": {"x": 1}, "mode": "edit"},
        {"name": "b", "kind": "question", "text": "which one?"},
        {"name": "c", "kind": "permission", "text": "may I look?", "tool": "look", "mode": "plan"},
    ]
    spawn = scene.begin_with("asker", json.dumps(asked), "--mode", "plan")
    wait_until(lambda: _needs(scene, spawn).get("tool") == "write", 15, "the first question")
    needs = _needs(scene, spawn)
    assert (needs["kind"], needs["input"]) == ("permission", {"x": 1})
    refused(scene.laptop, "approve", spawn, code="no_verb")
    scene.vps.restart()  # its output is read again: asked once all the same
    assert question(scene.vps, spawn)["request"] == needs["request"]
    assert relay_json(scene.vps, "approve", spawn)["accepted"] is True
    wait_until(lambda: _needs(scene, spawn).get("kind") == "question", 15, "the next question")
    assert relay_json(scene.laptop, "send", spawn, "the second")["accepted"] is True
    wait_until(lambda: _needs(scene, spawn).get("tool") == "look", 15, "the last question")
    assert relay_json(scene.laptop, "approve", spawn)["accepted"] is True
    tail = scene.until(spawn, "completed")["result"]["output_tail"]
    heard = [line for line in tail.splitlines() if "HEARD" in line]
    assert heard == ["HEARD a approve", "HEARD b send the second", "HEARD c approve"]


def _needs(scene: Scene, spawn: str) -> dict[str, Any]:
    return scene.show(spawn)["needs"] or {}

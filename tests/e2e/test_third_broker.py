"""A third broker that the target lets view: it follows, steers and ends what neither it asked for nor runs."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from relay.api import routes
from relay.api.client import Client
from relay.api.home import Home
from relay.api.routes import Call
from relay.api.shapes import LogLine
from relay.core import ids
from relay.core.ids import BrokerId
from relay.core.spawning import Snapshot, SpawnRequest
from relay.core.states import State
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.e2e.answering_member import AnsweringMember
from tests.e2e.scene import Scene, audit, error_of, fresh, refused, relay, relay_json, started

VERBS = ("view", "attach", "send", "stop", "approve", "forward")


class Third(Scene):
    """`laptop` asks, `vps` runs, `phone` looks."""

    def __init__(self, mesh: Mesh) -> None:
        super().__init__(mesh, *mesh.pair("laptop", "vps"))
        relay_json(self.laptop, "broker", "promote", "vps")
        self.phone = mesh.join(self.vps, "phone")

    def let(self, *verbs: str) -> None:
        """Give phone these verbs on vps."""
        words = [word for verb in verbs for word in ("--verb", verb)]
        self.vps.relay("trust", "allow", self.phone.id, "--mode", "full", *words)
        wait_until(lambda: self._heard(verbs), 20, "phone to have heard of its grant")

    def _heard(self, verbs: tuple[str, ...]) -> bool:
        with self.phone.control() as control:
            shown = next(each for each in control.get("brokers") if each["name"] == "vps")
        return set(verbs) <= set(shown["grants"]["to_us"] or ())


@pytest.fixture(scope="module")
def _third() -> Iterator[Third]:
    with Mesh.scratch("relay-third-") as mesh:
        scene = Third(mesh)
        scene.grant()
        scene.let(*VERBS)
        yield scene
        for node in mesh.nodes.values():
            assert "Traceback" not in node.log(), node.log()[-6000:]


@pytest.fixture
def third(_third: Third) -> Third:
    """The same, all linked with one another: an earlier test may have started one anew."""
    nodes = _third.mesh.nodes.values()
    wait_until(lambda: all(node.status()["links"] == 2 for node in nodes), 20, "all to be linked")
    return _third


def test_it_is_listed_shown_followed_and_stopped(third: Third) -> None:
    name = fresh("seen")
    spawn = third.begin("echo first; read -r line < go; echo $line; sleep 60", name=name)
    third.until(spawn, "running")

    def own() -> dict[str, Any]:  # beside what other tests have ended; who takes a second to answer is not listed
        return next((each for each in relay_json(third.phone, "ps") if each["id"] == spawn), {})

    listed = wait_until(own, 20, "phone to be told of it")
    assert (listed["broker"]["name"], listed["origin"]["name"], listed["state"]) == ("vps", "laptop", "running")
    assert relay_json(third.phone, "ps", "--known") == []
    running = ("queue", "--status", "running")
    wait_until(lambda: [each["id"] for each in relay_json(third.phone, *running)] == [spawn], 20, "it in the queue")
    assert relay_json(third.phone, "queue", "--status", "needs_you") == []
    shown = relay_json(third.phone, "show", name)
    assert shown["truth"]["from"] == third.vps.id and "read -r line" in shown["task"]
    assert [(each["state"], each["from"]["name"]) for each in shown["timeline"]] == [("running", "vps")]
    with started(third.phone, "logs", "-f", spawn[:8]) as follower:
        assert follower.stdout is not None and follower.stdout.readline() == b"first\n"
        stopped = relay_json(third.phone, "stop", f"{name}@vps")
        assert (stopped["state"], stopped["stop"]["state"]) == ("cancelled", "stopped")
        assert follower.wait(10) == 0
    assert "phone" in third.until(spawn, "cancelled")["reason"]
    assert relay_json(third.phone, "show", spawn)["state"] == "cancelled"
    assert relay_json(third.phone, "wait", spawn, status=130)[0]["state"] == "cancelled"


def test_its_input_and_its_questions_are_answered(third: Third) -> None:
    spawn = third.begin("read line; echo got $line", "--stdin", name=fresh("asks"))
    third.until(spawn, "running")
    assert relay_json(third.phone, "send", spawn, "hello")["accepted"] is True
    assert third.until(spawn, "completed")["result"]["output_tail"] == "got hello\n"
    assert relay(third.phone, "logs", spawn).stdout == b"got hello\n"


def test_who_answers_what_nobody_asks_is_told_so(third: Third) -> None:
    spawn = third.shell("true", status=0)["id"]
    error = error_of(relay(third.phone, "--json", "approve", spawn))
    assert error["code"] == "unknown_request" and error["message"].endswith("asks nothing")


def test_only_its_own_broker_may_edit_or_try_it_again(third: Third) -> None:
    spawn = third.shell("true", status=0)["id"]
    refused = relay(third.phone, "--json", "retry", spawn)
    assert refused.returncode == 1 and error_of(refused)["code"] == "no_verb"
    assert third.show(spawn)["attempt"] == 1
    # what it may look at is never said not to be there
    brought = third.shell("echo x > brought-back", "--collect", "brought-back", status=0)["id"]
    said = relay(third.phone, "result", brought).stderr.decode()
    assert "it went to laptop, which asked for it" in said and "--files" not in said
    for words in (("edit", "--priority", "1"), ("diff",), ("pull",), ("result", "--files", "x")):
        error = error_of(relay(third.phone, "--json", words[0], spawn, *words[1:]))
        assert error["code"] == "no_verb" and error["hint"].startswith("on laptop: relay "), error
    error = error_of(relay(third.phone, "--json", "resolve", spawn, "done"))
    assert error["code"] == "conflict" and error["hint"] == f"on laptop: relay resolve {spawn} done"


def test_a_pause_is_the_targets_to_grant(third: Third) -> None:
    spawn = third.begin("true", "--at", "1h", name=fresh("later"))
    third.until(spawn, "waiting")
    assert relay(third.phone, "pause", spawn).returncode == 0
    wait_until(lambda: third.show(spawn, third.vps)["paused"] is not None, 20, "the pause to be taken in")
    assert relay_json(third.phone, "show", spawn)["paused"]["by"].endswith("on phone")
    wait_until(lambda: _is_told_to_go_on(third.phone, spawn), 20, "what was done to be told as it is then")
    relay(third.phone, "stop", spawn)
    third.until(spawn, "cancelled")


def _is_told_to_go_on(node: Node, spawn: str) -> bool:
    """Pause and resume: whether the answer to the second is not the spawn as it was before."""
    relay(node, "pause", spawn)
    told = relay_json(node, "resume", spawn)
    return told["paused"] is None and str(told["reason"]).startswith("not before ")


def test_without_view_it_is_not_there_and_who_keeps_silent_is_named(third: Third) -> None:
    spawn = third.begin("sleep 60", name=fresh("hidden"))
    third.until(spawn, "running")
    try:
        third.vps.relay("trust", "revoke", third.phone.id)
        third.let("message")
        assert relay_json(third.phone, "ps") == []
        asked = relay(third.phone, "--json", "show", f"{spawn}@vps")
        assert error_of(asked)["code"] == "unknown_spawn" and "view" in json.loads(asked.stdout)["error"]["why"]
        assert error_of(relay(third.phone, "--json", "stop", spawn))["code"] == "unknown_spawn"
        third.let("view")
        refused = error_of(relay(third.phone, "--json", "stop", spawn))
        assert refused["code"] == "no_verb"
        assert third.show(spawn)["state"] == "running"
    finally:
        third.let(*VERBS)
        relay(third.laptop, "stop", spawn)
    third.vps.pause()
    try:
        listed = relay(third.phone, "ps")
        assert listed.returncode == 0 and b"what vps runs for others is not shown" in listed.stderr
    finally:
        third.vps.resume()


def test_what_may_be_on_a_machine_that_sleeps_is_not_said_not_to_be(third: Third) -> None:
    third.vps.stop()
    try:

        def is_seen_gone() -> bool:
            return any(each["name"] == "vps" and each["online"] is False for each in relay_json(third.phone, "brokers"))

        wait_until(is_seen_gone, 10, "vps to be seen gone", every=0.2)
        for words in (("wait", "somewhere", "--timeout", "1s"), ("approve", "somewhere")):
            error = error_of(relay(third.phone, "--json", *words))
            assert error["message"].endswith("that is known here") and "vps is " in error["why"], error
    finally:
        third.vps.start()
        third.linked()


def test_a_follower_goes_on_over_restarts_of_the_target_and_of_its_own_broker(third: Third) -> None:
    """Nothing of the spawn is kept there, so that it has to be asked for again, of a machine that is not back yet."""
    gate = third.vps.work / fresh("gate")
    spawn = third.begin(f"echo 1; while [ ! -e {gate} ]; do sleep 0.02; done; echo 2", name=fresh("long"))
    third.until(spawn, "running")
    with started(third.phone, "logs", "-f", spawn) as follower, ThreadPoolExecutor(1) as pool:
        assert follower.stdout is not None and follower.stdout.readline() == b"1\n"
        third.vps.restart()
        wait_until(lambda: relay(third.phone, "logs", spawn).stdout == b"1\n", 20, "phone to read it again")
        third.vps.kill()
        third.phone.restart()
        # a follower that had seen nothing yet says so by the place at which it stands
        other = pool.submit(_all_from, third.phone, routes.log(spawn, True, offset=0))
        third.vps.start()
        gate.touch()
        assert follower.wait(20) == 0 and follower.stdout.read() == b"2\n"
        assert other.result(20) == "1\n2\n"


def _all_from(node: Node, call: Call[LogLine]) -> str:
    with Client(Home(str(node.home))) as client:
        return "".join(line["data"] for line in client.lines(call) if line["stream"] == "out")


def test_a_stop_of_what_it_asked_of_another_ends_no_copy_here(third: Third) -> None:
    """phone holds stop on laptop, which asked vps: laptop's copy of vps's word is not for phone to end."""
    spawn = third.begin("sleep 60", name=fresh("copy"))
    third.until(spawn, "running")
    third.laptop.relay("trust", "allow", third.phone.id, "--verb", "stop", "--verb", "view")
    third.phone.kill()
    try:
        member = AnsweringMember(third.phone, third.laptop)
        with member.listening() as link:
            member.say(link, "stop", {"spawn": spawn})
            member.say(link, "steer", {"spawn": spawn, "verb": "pause", "by": "mallory"})
            wait_until(lambda: _refused_on(third.laptop, spawn), 20, "laptop to have judged the stop")
        copy = third.show(spawn)
        assert (copy["state"], copy["paused"], copy["truth"]["from"]) == ("running", None, third.vps.id)
    finally:
        third.phone.start()
        relay(third.laptop, "stop", spawn)


def _refused_on(node: Node, spawn: str) -> bool:
    return any(each["decision"] == "refused" and spawn in each["detail"] for each in audit(node))


def _line(target: str, origin: str, **changed: object) -> dict[str, object]:
    """A spawn as a broker tells it; `changed` goes into its word."""
    request = SpawnRequest(fresh_id(), "told", "shell", "true", 1, 2, cwd="/").to_content()
    word = Snapshot(str(request["spawn"]), BrokerId(target), 1, 3, State.RUNNING, 5, 5)
    marks = dict.fromkeys(("stop_requested", "paused", "paused_by", "not_before", "schedule")) | {"priority": 0}
    word = dataclasses.replace(word, **changed)  # type: ignore[arg-type]
    return {"origin": origin, "request": request, "word": word.to_bytes(), "marks": marks}


def fresh_id() -> str:
    return ids.spawn_id(os.urandom(10))


def test_a_broker_speaks_for_its_own_spawns_alone(third: Third) -> None:
    """phone gone bad: it answers for vps, takes the place of what laptop knows, and lists without an end."""
    known = third.begin("sleep 60", name=fresh("known"))
    third.until(known, "running")
    third.phone.kill()
    laptop, phone, vps = third.laptop, third.phone.id, third.vps.id
    try:
        member = AnsweringMember(third.phone, laptop)
        mine, others, instead = _line(phone, laptop.id), _line(vps, laptop.id), _line(phone, laptop.id, spawn=known)
        assert isinstance(instead["request"], dict)
        instead["request"]["spawn"] = known

        def listed(items: list[dict[str, object]]) -> set[str]:
            # whoever takes a second to answer is not listed: that was this test itself then
            return _listed(laptop, member, items, known) or _listed(laptop, member, items, known)

        seen = [listed(items) for items in ([mine], [others], [instead, mine], [mine] * 300)]
        assert seen == [{"phone"}, set(), {"phone"}, set()]
    finally:
        third.phone.start()
        relay(laptop, "stop", known)


def _listed(laptop: Node, member: AnsweringMember, items: list[dict[str, object]], known: str) -> set[str]:
    """Who has a spawn called `told` in what laptop lists where a member answers so; many are said again and again."""
    with member.listening() as link:
        member.say(link, "presence", {"waiting": 0, "may": ["view"]})
        with started(laptop, "--json", "ps") as listing:
            stream = member.next_of(link, "spawns.ask").content["stream"]
            many = len(items) > 10
            with contextlib.suppress(OSError):  # who says what is not its own is hung up on
                for n in range(20 if many else 1):
                    member.say(link, "spawns.list", {"stream": stream, "n": n, "items": items, "end": not many})
            found = json.loads(listing.communicate(timeout=20)[0])
    assert [each["broker"]["name"] for each in found if each["id"] == known] == ["vps"]
    return {each["broker"]["name"] for each in found if each["name"] == "told"}


def test_what_it_asks_for_may_come_after_what_another_asked_for(third: Third) -> None:
    vps, work = third.vps, str(third.vps.work)
    vps.relay("trust", "allow", third.phone.id, "--verb", "spawn", "--verb", "view", "--agent", "shell", "--dir", work)
    go, name = third.vps.work / fresh("go"), fresh("first")
    first = third.begin(f"until [ -e {go} ]; do sleep 0.02; done", name=name)
    third.until(first, "running")
    words = ("spawn", "-", "shell", "true", "--broker", "vps", "--cwd", work, "--after")
    for meant in (first, name):
        behind = relay_json(third.phone, *words, meant)["id"]
        assert third.until(behind, "waiting", on=third.phone)["reason"] == f"after {name} (running)"
    refused(third.phone, *words, "nosuch", code="unknown_spawn")
    go.touch()
    third.until(behind, "completed", on=third.phone)

"""What needs a person, answered from a third broker: by its rights, once, in time, and over crashes."""

from __future__ import annotations

import json

import pytest

from relay.testing import asking_agent
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.e2e.scene import Scene, fresh, refused, relay, relay_json, said
from tests.e2e.test_needs_a_person import decisions, links, question


@pytest.mark.timeout(150)
def test_a_third_broker_an_agent_that_asks_and_kill_9(mesh: Mesh) -> None:
    scene = Scene.made(mesh)
    boss = mesh.join(scene.laptop, "boss")
    scene.vps.launcher = asking_agent.LAUNCHER
    scene.vps.restart()
    scene.grant("--agent", "shell", "--agent", "asker", "--ask")
    wait_until(lambda: all(links(each) == 2 for each in (scene.laptop, scene.vps, boss)), 20, "all links")
    _answered_from_afar(scene, boss)
    _says_no_and_yes(scene, boss)
    _expires(scene, boss)
    _survives_kill_9(scene, boss)


def _allow(scene: Scene, boss: Node, verb: str) -> None:
    scene.vps.relay("trust", "allow", boss.id, "--verb", verb)


def _held(scene: Scene, script: str, *options: str) -> tuple[str, str]:
    spawn = scene.begin(script, *options)
    return spawn, str(scene.until(spawn, "held")["needs"]["request"])


def _answered_from_afar(scene: Scene, boss: Node) -> None:
    spawn, request = _held(scene, "true")
    assert relay_json(boss, "review") == {"questions": [], "unreachable": [], "more": []}
    refused(boss, "approve", spawn, code="unknown_spawn")
    _allow(scene, boss, "view")
    assert question(boss, spawn)["request"] == request
    error = refused(boss, "approve", spawn, code="no_verb")
    assert error["hint"].startswith("on vps: relay trust allow boss")
    words = f"relay approve {spawn[:8]} --request {request[:8]}\n"
    wait_until(lambda: f"\n  on vps: {words}" in relay(boss, "review").stdout.decode(), 15, "who may not to be told so")
    _allow(scene, boss, "approve")
    wait_until(lambda: f"\n  {words}" in relay(boss, "review").stdout.decode(), 15, "who may to be told so")
    with boss.control() as control:
        body = {"spawn": spawn, "verb": "approve", "request": request, "wait_s": 10}
        assert control.post("answers", body)["accepted"] is True
    scene.until(spawn, "completed")
    assert refused(boss, "send", f"{spawn}@vps", "x", code="no_verb")["hint"].endswith("--verb send")
    refused(scene.laptop, "deny", spawn, "--request", request, code="own_request")
    error = refused(scene.vps, "deny", spawn, code="answered")
    assert "approved by" in error["why"] and "boss" in error["why"]
    assert [each[1:] for each in decisions(scene.vps, spawn, "approve")] == [("refused", "no_verb"), ("allowed", "")]


def _says_no_and_yes(scene: Scene, boss: Node) -> None:
    """Who may approve what goes beyond the mode of a grant may deny it, and answer what it covers; not type."""
    asked = [{"name": e, "kind": "permission", "text": "?", "tool": e, "mode": e} for e in ("full", "plan")]
    both = [{"name": e, "kind": "permission", "text": "and\nthat?", "mode": "plan"} for e in ("one", "other")]
    spawn = scene.begin_with("asker", json.dumps([*asked, {"name": "q", "kind": "question", "text": "which?"}, both]))
    scene.until(spawn, "held")
    assert relay_json(boss, "approve", spawn)["accepted"] is True
    for verb, mode in (("deny", "full"), ("approve", "plan")):
        wait_until(lambda: (scene.show(spawn)["needs"] or {}).get("tool") == mode, 15, "the question")  # noqa: B023
        assert relay_json(boss, verb, spawn)["accepted"] is True
    wait_until(lambda: (scene.show(spawn)["needs"] or {}).get("kind") == "question", 15, "the last question")
    refused(boss, "send", spawn, "this one", code="no_verb")
    assert relay_json(scene.vps, "send", spawn, "that one")["accepted"] is True
    _answers_each_of_two(scene, spawn)
    scene.until(spawn, "completed")


def _answers_each_of_two(scene: Scene, spawn: str) -> None:
    """Its origin, which has the word of one of them only, says which as `review` prints it, or is asked to."""

    def asked() -> list[str]:
        return [each["request"] for each in relay_json(scene.laptop, "review")["questions"] if each["spawn"] == spawn]

    def is_told() -> bool:
        return "that" in (scene.show(spawn)["needs"] or {}).get("text", "")

    wait_until(lambda: len(asked()) == 2 and is_told(), 15, "two questions")
    refused(scene.laptop, "send", spawn, "yes", code="ambiguous")
    lines = said(relay(scene.laptop, "approve", spawn)).decode().splitlines()
    # what it asks may have lines: they are not to be taken for the error's own
    assert all(line.startswith(("error: ", "why:   ", "try:   relay review", "       that?")) for line in lines), lines
    for request in reversed(asked()):
        assert relay_json(scene.laptop, "approve", spawn[:8], "--request", request[:8])["accepted"] is True


def _expires(scene: Scene, boss: Node) -> None:
    spawn, request = _held(scene, "true", "--ttl", "5s")  # it has to be asked about before its time is over
    scene.until(spawn, "expired")
    error = refused(boss, "approve", f"{spawn}@vps", "--request", request, code="answered")
    assert error["why"].endswith("is expired")


def _survives_kill_9(scene: Scene, boss: Node) -> None:
    """Both are killed between answer and effect; it takes effect once, and who answered learns of it."""
    mark = scene.vps.work / fresh("once")
    spawn, request = _held(scene, f"echo x >> {mark}")
    body = {"operation": "approve-once", "spawn": spawn, "verb": "approve", "request": request}
    with boss.control() as control:
        first = control.post("answers", body)
        scene.vps.kill()
        boss.kill()
    assert first["accepted"] in (None, True)
    boss.start()
    wait_until(lambda: links(boss) == 1, 20, "boss to be back")
    unreachable = relay_json(boss, "review")["unreachable"]
    assert [each["name"] for each in unreachable] == ["vps"] and unreachable[0]["why"]
    scene.vps.start()
    scene.until(spawn, "completed", within=30)
    with boss.control() as control:
        assert control.post("answers", body | {"wait_s": 20})["accepted"] is True
    assert [each[1] for each in decisions(scene.vps, spawn, "approve")] == ["allowed"] and mark.read_text() == "x\n"

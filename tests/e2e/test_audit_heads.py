"""An editor of the audit log, who owns the file: what is cut off or written anew shows on both sides at a next link."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from typing import Any

import pytest

from relay.testing import processes
from relay.testing.mesh import Mesh
from relay.testing.node import Node
from tests.e2e.scene import Scene, audit, relay, relay_json, started

WITHIN = 20.0


@pytest.fixture
def pair(mesh: Mesh) -> Scene:
    """A pair of this test's own: what is done to its log stays."""
    scene = Scene.made(mesh)
    for _ in range(3):
        relay_json(scene.laptop, *scene.words("shell", "true"), "--wait", status=125)
    relink(scene)
    return scene


def relink(scene: Scene) -> None:
    """A new link, with new hellos each way."""
    scene.laptop.restart()
    scene.linked()


def edit(node: Node, *statements: str) -> None:
    """Change the log of a broker that does not run."""
    node.stop()
    with sqlite3.connect(node.home / "relay.db") as store:
        for statement in statements:
            store.execute(statement)
    store.close()


def doctor(node: Node) -> dict[str, Any]:
    found = relay_json(node, "doctor", status=None)
    checks = found["checks"] if isinstance(found, dict) else found
    return next(each for each in checks if each["name"] == "audit logs")


def holds(node: Node, other: Node) -> bool:
    verdict = relay_json(node, "audit", "verify", status=None)
    return any(each["broker"]["id"] == other.id and each["ok"] for each in verdict["held_by"])


def found_on_both_sides(edited: Node, peer: Node) -> None:
    processes.wait_until(lambda: not doctor(edited)["ok"], WITHIN, "its finding at home")
    processes.wait_until(lambda: not doctor(peer)["ok"], WITHIN, "its finding on the peer")
    own = relay_json(edited, "audit", "verify", status=1)
    assert not own["ok"] and [each["ok"] for each in own["held_by"]] == [False]
    theirs = relay_json(peer, "audit", "verify")
    assert [each["broker"]["name"] for each in theirs["cut_elsewhere"]] == [edited.name]
    assert f"{peer.name} holds its entry" in relay(edited, "audit", "verify").stderr.decode()
    assert f"the audit log of {edited.name} was cut" in relay(peer, "brokers").stderr.decode()
    listed = {each["name"]: each["audit_cut"] for each in relay_json(peer, "brokers")}
    assert listed[edited.name] and not listed[peer.name]
    assert relay_json(peer, "broker", "show", edited.name)["audit_cut"]
    for node in (peer, edited):
        assert {each["kind"] for each in audit(node) if each["code"] == "audit_cut"} == {"audit"}, node.name


def test_a_cut_tail_shows_on_both_sides_and_after_restarts_until_a_person_takes_it(pair: Scene) -> None:
    laptop, vps = pair.laptop, pair.vps
    assert doctor(laptop)["ok"] and doctor(vps)["ok"]
    processes.wait_until(lambda: holds(laptop, vps) or holds(vps, laptop), WITHIN, "the heads")
    relink(pair)
    edit(vps, "DELETE FROM audit WHERE seq > (SELECT max(seq) - 2 FROM audit)")
    vps.start()
    pair.linked()
    found_on_both_sides(vps, laptop)
    relink(pair)
    vps.restart()
    pair.linked()
    assert not doctor(laptop)["ok"]
    relay_json(laptop, "broker", "forget", "vps")
    relink(pair)
    assert doctor(laptop)["ok"] and relay_json(laptop, "audit", "verify")["cut_elsewhere"] == []


def test_a_tail_that_was_cut_and_grown_longer_again_shows_too(pair: Scene) -> None:
    laptop, vps = pair.laptop, pair.vps
    relink(pair)
    before = relay_json(laptop, "audit", "verify")["entries"]
    vps.stop()
    edit(laptop, "DELETE FROM audit WHERE seq > 1")
    laptop.start()
    for _ in range(before + 2):
        laptop.relay("invite", "--link")
    grown = relay_json(laptop, "audit", "verify", status=None)
    assert grown["entries"] > before and grown["bad_seq"] is None
    vps.start()
    pair.linked()
    relink(pair)
    found_on_both_sides(laptop, vps)


def test_a_tail_that_is_cut_and_grown_again_under_a_running_broker_shows_with_its_next_entry(pair: Scene) -> None:
    laptop = pair.laptop
    before = relay_json(laptop, "audit", "verify")["entries"]
    with sqlite3.connect(laptop.home / "relay.db", timeout=10) as store:
        store.execute("DELETE FROM audit WHERE seq > 2")
    store.close()
    for _ in range(before + 2):
        laptop.relay("invite", "--link")
    verdict = relay_json(laptop, "audit", "verify", status=1)
    assert verdict["bad_seq"] == before < verdict["entries"]
    assert "while this broker ran" in doctor(laptop)["detail"]
    (found,) = (each for each in audit(laptop) if each["code"] == "audit_cut")
    assert found["seq"] == 3 and f"it had {before} entries" in found["detail"]


def test_follow_and_export_give_each_entry_once_as_lines(two: Scene) -> None:
    relay_json(two.laptop, *two.words("shell", "true"), "--wait", status=125)
    before = relay_json(two.vps, "audit", "verify")["entries"]
    with started(two.vps, "--json", "audit", "show", "--follow", "--limit", "1") as following:
        assert following.stdout is not None
        # the last one there is: from here on it follows
        assert json.loads(following.stdout.readline())["seq"] == before
        for _ in range(3):
            relay_json(two.laptop, *two.words("shell", "true"), "--wait", status=125)
        followed = [json.loads(following.stdout.readline()) for _ in range(3)]
    assert [each["code"] for each in followed] == ["no_grant"] * 3
    lines = relay(two.vps, "audit", "export").stdout.splitlines()
    exported = [json.loads(each) for each in lines]
    assert [each["seq"] for each in exported] == [*range(1, len(exported) + 1)]
    assert len(exported) >= before + 3 and exported[-3:] == followed
    later = relay(two.vps, "audit", "export", "--since", str(before)).stdout.splitlines()
    assert later == lines[before:]


def test_follow_goes_on_over_a_restart(two: Scene) -> None:
    relay_json(two.laptop, *two.words("shell", "true"), "--wait", status=125)
    with started(two.vps, "audit", "show", "-f", "--limit", "1") as following:
        assert following.stdout is not None
        # the last one there is: from here on it follows
        assert b"no_grant" in following.stdout.readline()
        relay_json(two.laptop, *two.words("shell", "true"), "--wait", status=125)
        assert b"no_grant" in following.stdout.readline()
        two.vps.restart()
        two.linked()
        relay_json(two.laptop, *two.words("shell", "true"), "--wait", status=125)
        assert b"no_grant" in following.stdout.readline()
        following.send_signal(2)
        assert following.wait(10) in (0, 130), subprocess.list2cmdline(following.args)  # type: ignore[arg-type]


def test_a_tail_that_is_cut_while_the_broker_runs_shows_at_once(pair: Scene) -> None:
    """By what the broker remembers of its own log; grown longer again, it shows at the next link."""
    vps = pair.vps
    assert relay_json(vps, "audit", "verify")["ok"]
    with sqlite3.connect(vps.home / "relay.db", timeout=10) as store:
        (last,) = store.execute("SELECT max(seq) FROM audit").fetchone()
        store.execute("DELETE FROM audit WHERE seq > ?", (last - 2,))
    store.close()
    verdict = relay_json(vps, "audit", "verify", status=1)
    assert (verdict["ok"], verdict["bad_seq"]) == (False, last - 1)

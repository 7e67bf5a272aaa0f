"""What ended badly is listed until a person has looked at it."""

from __future__ import annotations

from relay.testing.processes import wait_until
from tests.e2e.scene import Scene, fresh, refused, relay, relay_json


def test_failures_are_listed_until_they_are_resolved(granted: Scene) -> None:
    scene = granted
    relay(scene.laptop, "resolve", "all", "done")
    name = fresh("broken")
    spawn = scene.shell("seq 30; exit 3", name=name, status=3)["id"]
    listed = relay_json(scene.laptop, "failures")
    assert [each["id"] for each in listed] == [spawn]
    assert listed[0]["tail"] == [str(n) for n in range(21, 31)] and listed[0]["next"].startswith("relay logs")
    assert "exit status 3" in relay(scene.laptop, "failures").stdout.decode()
    error = refused(scene.vps, "resolve", spawn, "done", code="conflict")
    assert error["hint"].startswith("on laptop: relay resolve")
    changed = relay_json(scene.laptop, "resolve", spawn, "done", "--notes", "by hand")
    assert changed[0]["resolved"]["as"] == "done" and changed[0]["resolved"]["notes"] == "by hand"
    assert relay_json(scene.laptop, "failures") == []
    assert scene.show(spawn)["state"] == "failed" and scene.show(spawn)["resolved"]["by"]
    assert "[done]" in relay(scene.laptop, "ps").stdout.decode()
    relay(scene.laptop, "resolve", name, "pending")
    assert [each["id"] for each in relay_json(scene.laptop, "failures")] == [spawn]
    assert relay_json(scene.laptop, "resolve", "all", "failed")[0]["resolved"]["as"] == "failed"
    assert refused(scene.laptop, "resolve", spawn, "perhaps", code="usage")["message"] == "what do they come to?"
    assert refused(scene.laptop, "resolve", "done", code="usage")["message"] == "which spawns are done?"


def test_what_fails_again_after_somebody_resolved_it_is_listed_again(granted: Scene) -> None:
    scene = granted
    relay(scene.laptop, "resolve", "all", "done")
    spawn = scene.shell("exit 3", status=3)["id"]
    relay_json(scene.laptop, "resolve", spawn, "done")
    assert relay_json(scene.laptop, "failures") == []
    relay_json(scene.laptop, "retry", spawn)
    wait_until(lambda: relay_json(scene.laptop, "failures"), 15, "the second end to be listed")
    shown = scene.show(spawn)
    assert (shown["state"], shown["attempt"], shown["resolved"]) == ("failed", 2, None)

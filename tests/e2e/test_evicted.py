"""Who was put out may act here no more, whatever trust.toml still says."""

from __future__ import annotations

import sys
import time

from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.e2e.evicting import put_out
from tests.e2e.scene import LONGEST, error_of, relay, relay_json, tasks_alive


def test_what_an_evicted_member_has_in_the_queue_ends_though_its_broker_was_down_meanwhile(mesh: Mesh) -> None:
    """The statement is kept, and nothing that follows from it was done: so a `kill -9` after the commit leaves it."""
    vps, laptop = mesh.pair("vps", "laptop")
    mesh.grant(on=vps, to=laptop)
    vps.relay("queue", "pause")
    order = ("spawn", "later", "shell", "touch ran", "--broker", "vps", "--cwd", str(vps.work))
    spawn = str(relay_json(laptop, *order)["id"])
    waits = lambda: any(each["id"] == spawn and each["state"] == "waiting" for each in relay_json(vps, "ps"))  # noqa: E731
    wait_until(waits, 15, "it to wait there")
    vps.stop()
    put_out(vps, laptop)
    vps.start()
    # the grant is gone from the file too: or it would be there again for one that is let in again
    assert relay_json(vps, "trust", "list") == []
    found = relay_json(vps, "show", spawn)
    assert found["state"] == "cancelled" and "put out of the workspace" in found["reason"]
    vps.relay("queue", "resume")
    assert not (vps.work / "ran").exists()


def test_what_was_never_sent_to_who_is_put_out_ends(mesh: Mesh) -> None:
    """Its envelopes go with the eviction, so that no word on it could ever come."""
    laptop, vps = mesh.pair("laptop", "vps")
    vps.stop()
    wait_until(lambda: laptop.status()["links"] == 0, 15, "the link to be over")
    order = ("spawn", "later", "shell", "true", "--broker", "vps", "--cwd", "/tmp")
    spawn = str(relay_json(laptop, *order)["id"])
    relay_json(laptop, "broker", "evict", "vps")
    wait_until(lambda: relay_json(laptop, "show", spawn)["state"] != "queued", 10, "it to end")
    found = relay_json(laptop, "show", spawn)
    assert found["state"] == "cancelled" and "put out" in found["reason"]
    assert relay_json(laptop, "outbox")["outgoing"] == []


def test_who_was_put_out_is_told_so_and_not_that_the_others_are_asleep(mesh: Mesh) -> None:
    laptop, vps = mesh.pair("laptop", "vps")
    kept = _kept_by(laptop, vps, mesh)
    relay_json(laptop, "broker", "evict", "vps")
    _no_member_is_waited_for(laptop, kept)

    def told() -> bool:
        (hub,) = (each for each in relay_json(vps, "brokers") if each["name"] == "laptop")
        return "no member of this workspace" in (hub["trouble"] or "")

    wait_until(told, 10, "vps to hear that it is out")
    wait_until(lambda: "is not on the roster" in laptop.log(), 20, "it to knock in vain")
    spawn = relay_json(vps, "spawn", "later", "shell", "true", "--broker", "laptop", "--cwd", "/tmp")
    assert spawn["ack"].startswith("Queued: laptop says that this broker is no member of the workspace (last seen ")
    assert spawn["ack"].endswith("; nothing goes there until this one is invited again.")
    assert "asleep" not in spawn["reason"] + str(relay_json(vps, "outbox")["outgoing"])
    check = next(each for each in relay_json(vps, "doctor", status=1) if each["name"] == "link to laptop")
    assert check["hint"] == "on laptop: relay brokers --roster; relay invite", check
    relay_json(vps, "join", relay_json(laptop, "invite", "--link")["link"])
    mesh.await_link(laptop, vps)  # it begins anew, and has to be heard from again
    wait_until(lambda: "no member" not in str(relay_json(vps, "brokers", status=None)), 10, "it to say so no more")


def _kept_by(laptop: Node, vps: Node, mesh: Mesh) -> str:
    mesh.grant(on=vps, to=laptop)
    place = ("--broker", "vps", "--cwd", str(vps.work))
    kept = relay_json(laptop, "spawn", "-", "shell", "true", *place, "--at", "1h")["id"]
    wait_until(lambda: _state(laptop, kept) == "waiting", 10, "vps to keep it for later")
    return str(kept)


def _no_member_is_waited_for(laptop: Node, kept: str) -> None:
    """What it keeps is asked of nobody: no order is called queued that goes nowhere, and no log waited for."""
    asked = {("stop", kept): 2, ("pause", kept): 2, ("logs", kept, "-f"): 1, ("attach", kept): 1}
    for words, status in asked.items():
        done = relay(laptop, "--json", *words)
        error = error_of(done)
        assert done.returncode == status, done
        assert error["message"].endswith(" is no member any more") and error["hint"].startswith("relay invite"), error
    assert relay_json(laptop, "outbox")["outgoing"] == []
    here = relay_json(laptop, "spawn", "-", "shell", "sleep 60", "--timeout", LONGEST)["id"]
    both = relay(laptop, "stop", kept, here)
    assert both.returncode == 2 and b"is no member" in both.stderr
    assert _state(laptop, here) == "cancelled", "who cannot be asked keeps up nobody else's end"


def _state(node: Node, spawn: str) -> str:
    with node.control() as control:
        return str(control.get(f"spawns/{spawn}")["state"])


def _apart(node: Node, hub: Node) -> None:
    """It reaches the hub alone from now on."""
    node.stop()
    node.launcher = (sys.executable, "-m", "relay.testing.apart", "--only", hub.address, "--")
    node.start()


def test_who_is_reached_through_a_holder_alone_loses_its_tasks_within_5_s_and_hears_of_it(mesh: Mesh) -> None:
    hub = mesh.add("hub", started=False)
    hub.configure("always_on = true")
    hub.start()
    laptop, vps = mesh.join(hub, "laptop"), mesh.join(hub, "vps")
    for node in (laptop, vps):
        _apart(node, hub)
    mesh.await_link(laptop, vps)
    order = ("--broker", "vps", "--cwd", str(vps.work), "--timeout", LONGEST)

    def begin() -> str:
        mesh.grant(on=vps, to=laptop)
        spawn = str(relay_json(laptop, "spawn", "-", "shell", "sleep 80", *order)["id"])
        wait_until(lambda: relay_json(laptop, "show", spawn)["state"] == "running", 20, "it to run")
        assert {each["link"] for each in relay_json(vps, "brokers") if each["name"] == "laptop"} <= {"relayed", None}
        return spawn

    running = begin()
    relay_json(vps, "queue", "pause")
    waiting = str(relay_json(laptop, "spawn", "-", "shell", "touch ran", *order)["id"])
    wait_until(lambda: relay_json(laptop, "show", waiting)["state"] == "waiting", 20, "the other to wait")
    relay_json(vps, "trust", "revoke", "laptop")
    begun = time.monotonic()
    wait_until(lambda: not tasks_alive(running), 5, "its task to end", every=0.05)
    for spawn in (running, waiting):
        wait_until(lambda spawn=spawn: _state(laptop, spawn) == "cancelled", 5, "laptop to hear")  # type: ignore[misc]
    assert time.monotonic() - begun < 5
    for spawn in (running, waiting):
        assert "its grant being revoked" in relay_json(laptop, "show", spawn)["reason"]
    relay_json(vps, "queue", "resume")
    refused = relay_json(laptop, "spawn", "-", "shell", "true", *order, "--wait", status=125)
    assert refused["error"]["code"] == "no_grant"
    # put out, by a word that reaches vps over the hub
    running = begin()
    relay_json(hub, "broker", "evict", "laptop")
    wait_until(lambda: not tasks_alive(running), 5, "its task to end", every=0.05)
    wait_until(lambda: _state(vps, running) == "cancelled", 5, "that to be written down")
    wait_until(lambda: relay_json(vps, "trust", "list") == [], 10, "its grant to go")
    assert not (vps.work / "ran").exists()
    # nobody may tell it the end; it does not make one up
    wait_until(lambda: laptop.status()["links"] == 0, 20, "its link to be closed")
    assert relay_json(laptop, "show", running)["state"] == "running"

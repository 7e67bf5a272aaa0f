"""Who was put out may act here no more, whatever trust.toml still says."""

from __future__ import annotations

from relay.testing.mesh import Mesh
from relay.testing.processes import wait_until
from tests.e2e.evicting import put_out
from tests.e2e.scene import relay_json


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

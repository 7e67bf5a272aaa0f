"""Who was put out may act here no more, whatever trust.toml still says."""

from __future__ import annotations

from relay.testing.mesh import Mesh
from relay.testing.processes import wait_until
from tests.e2e.evicting import put_out
from tests.e2e.scene import relay_json


def test_what_an_evicted_member_has_in_the_queue_is_refused_though_its_grant_still_stands(mesh: Mesh) -> None:
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
    assert [each["broker"]["id"] for each in relay_json(vps, "trust", "list")] == [laptop.id]
    vps.relay("queue", "resume")
    ended = lambda: relay_json(vps, "show", spawn)["state"] not in ("waiting", "starting", "running")  # noqa: E731
    wait_until(ended, 15, "it to be judged")
    found = relay_json(vps, "show", spawn)
    assert (found["state"], found["error"]["code"]) == ("rejected", "no_grant")
    assert not (vps.work / "ran").exists()

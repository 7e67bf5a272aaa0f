"""Names are labels that others choose: none may be taken for another machine, spawn or file."""

from __future__ import annotations

import pytest

from relay.testing.mesh import Mesh
from relay.testing.node import Node
from tests.e2e.scene import Scene, error_of, relay, relay_json


@pytest.mark.parametrize("by", ["link", "code"])
def test_who_joins_under_the_beginning_of_another_s_id_is_not_trusted_in_its_place(mesh: Mesh, by: str) -> None:
    vps, laptop = mesh.pair("vps", "laptop")
    mallory = mesh.add("mallory")
    made = relay_json(vps, "invite", *(["--link"] if by == "link" else []))
    words = [made["link"]] if by == "link" else [made["code"], made["address"]]
    mallory.relay("join", *words, "--name", laptop.id[:8])
    mesh.await_link(vps, mallory)
    names = {each["id"]: each["name"] for each in relay_json(vps, "brokers")}
    assert names[mallory.id] == f"{laptop.id[:8]}-{mallory.id[:4]}"
    (given,) = relay_json(vps, "trust", "allow", laptop.id[:8], "--agent", "shell", "--dir", str(vps.work))
    assert given["broker"]["id"] == laptop.id
    order = ("spawn", "-", "shell", "touch owned", "--broker", "vps", "--cwd", str(vps.work), "--wait")
    assert relay(mallory, "--json", *order).returncode == 125
    assert not (vps.work / "owned").exists()


def test_a_broker_is_not_renamed_to_the_beginning_of_another_s_id(two: Scene) -> None:
    for node, other, wanted in ((two.laptop, two.vps, two.laptop.id), (two.vps, two.laptop, two.vps.id)):
        error = error_of(relay(node, "--json", "broker", "rename", other.name, wanted[:8]))
        assert error["code"] == "name_in_use"
        assert "begins so" in error["why"]


def _asked(node: Node, name: str, where: Scene) -> str:
    place = ("--broker", "vps", "--cwd", str(where.vps.work))
    return str(relay_json(node, "spawn", name, "shell", "sleep 60", *place)["id"])


def test_a_spawn_named_as_another_s_id_is_not_stopped_nor_approved_in_its_place(granted: Scene) -> None:
    mine = _asked(granted.vps, "mine", granted)
    theirs = [_asked(granted.laptop, mine[:size], granted) for size in (5, 8, 16)]
    try:
        for each in theirs:
            granted.until(each, "running")  # it may be on its way still when it was asked for
        for size in (5, 8):
            error = error_of(relay(granted.vps, "--json", "show", mine[:size]))
            assert error["code"] == "ambiguous"
            assert mine in error["why"]
        assert relay_json(granted.vps, "show", mine)["id"] == mine
        for each in theirs:
            assert relay_json(granted.vps, "show", each)["id"] == each
    finally:
        for each in (mine, *theirs):
            relay(granted.vps, "stop", each)

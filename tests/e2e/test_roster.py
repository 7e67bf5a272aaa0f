"""A roster that changed while a broker was away: real processes, over a real link."""

from __future__ import annotations

from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.e2e.scene import relay_json


def _members(node: Node) -> set[str]:
    return {each["name"] for each in relay_json(node, "brokers")}


def test_who_was_away_while_others_joined_learns_of_them() -> None:
    with Mesh.scratch() as mesh:
        laptop, vps = mesh.pair("laptop", "vps")
        vps.stop()
        for name in ("mini", "desk"):
            mesh.join(laptop, name)
        assert _members(laptop) == {"laptop", "vps", "mini", "desk"}
        vps.start()
        wait_until(lambda: _members(vps) == _members(laptop), 20, "vps to learn who has joined")
        # and what it learnt outlives its end: it asks for nothing then
        laptop.stop()
        vps.restart()
        assert len(_members(vps)) == 4

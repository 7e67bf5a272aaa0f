"""Three brokers of one workspace and a receiver of notifications, shared by a worker's tests of telling."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until
from tests.e2e.scene import LONGEST, fresh, relay, relay_json
from tests.notify.receiver import Receiver

Told = dict[str, Any]


class Ground:
    """`laptop` asks, `vps` and `mini` run; what is told comes to `receiver`."""

    def __init__(self, mesh: Mesh, receiver: Receiver) -> None:
        self.mesh = mesh
        self.receiver = receiver
        self.laptop, self.vps = mesh.pair("laptop", "vps")
        self.mini: Node | None = None

    def third(self) -> Node:
        """`mini`, made by the first test that needs it."""
        if self.mini is None:
            self.mini = self.mesh.join(self.laptop, "mini")
            wait_until(lambda: self.vps.status()["links"] == 2, 20, "vps to be linked with mini")
            self.mesh.grant(on=self.mini, to=self.laptop, words=("--agent", "shell"))
        return self.mini

    def heal(self) -> None:
        """Everybody runs and is linked, nobody has a channel, laptop may spawn elsewhere."""
        self.receiver.heal()
        for node in self.mesh.nodes.values():
            if not node.running:
                node.start()
            for channel in relay_json(node, "notify", "list"):
                relay(node, "notify", "remove", channel["id"])
        for node in filter(None, (self.vps, self.mini)):
            (node.home / "trust.toml").unlink(missing_ok=True)
            self.mesh.grant(on=node, to=self.laptop, words=("--agent", "shell"))
        self.mesh.await_link(self.laptop, self.vps)

    def add(self, name: str, address: str, *options: str) -> dict[str, Any]:
        """`relay notify add` on laptop; the channel."""
        done = relay(self.laptop, "--json", "notify", "add", name, *options, typed=address.encode() + b"\n")
        assert done.returncode == 0, done.stderr + done.stdout
        added: dict[str, Any] = json.loads(done.stdout)
        return added

    def spawn(self, script: str, *options: str, on: Node | None = None, wait: bool = False) -> tuple[str, str]:
        """Have laptop ask for a script; its name and id."""
        where, name = on or self.laptop, fresh("n")
        words = ["spawn", name, "shell", script, "--broker", where.name, "--cwd", str(where.work), "--timeout", LONGEST]
        done = relay_json(self.laptop, *words, *options, *(["--wait"] if wait else []), status=None)
        return name, str(done["id"])

    def sent(self, spawn: str, on: Node | None = None) -> list[Told]:
        """What was told of a spawn, as `relay notify sent` has it."""
        with (on or self.laptop).control() as control:
            found: list[Told] = control.get(f"notify/sent?spawn={spawn}")
        return found

    def told(self, spawn: str, channel: str, *states: str, within: float = 30.0) -> Told:
        """The delivery of a spawn over a channel, once it stands in one of these states on laptop."""

        def found() -> Told | None:
            known = [each for each in self.sent(spawn) if each["channel"] == channel and each["state"] in states]
            return known[0] if known else None

        return wait_until(found, within, f"{spawn} to be {states} over {channel}") or {}


@pytest.fixture(scope="session")
def _ground() -> Iterator[Ground]:
    with Receiver() as receiver, Mesh.scratch("relay-notify-") as mesh:
        yield Ground(mesh, receiver)


@pytest.fixture
def ground(_ground: Ground) -> Iterator[Ground]:
    _ground.heal()
    yield _ground
    for node in _ground.mesh.nodes.values():
        assert "Traceback" not in node.log(), node.log()[-6000:]

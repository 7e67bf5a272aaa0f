"""Two brokers that dial each other at the same instant; in the end they have one link, the same for both."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until

_PROGRAM = Path(__file__).with_name("dialling_program.py")
SETTLED_WITHIN = 15.0
Ends = tuple[object, object]


def connections(node: Node) -> list[Ends]:
    """The established TCP connections of a broker, each as (its own end, the other end)."""
    assert node.process is not None
    found = psutil.Process(node.process.pid).net_connections("tcp")
    return [(each.laddr, each.raddr) for each in found if each.status == psutil.CONN_ESTABLISHED]


def share_one(laptop: Node, vps: Node) -> bool:
    """Whether each has one connection, the two ends of the same, and one link over it."""
    ours, theirs = connections(laptop), connections(vps)
    if len(ours) != 1 or theirs != [ours[0][::-1]]:
        return False
    return all(node.status()["links"] == 1 for node in (laptop, vps))


class Pair:
    """Two brokers that race.

    Attributes:
        both_dialled: in how many of the races there were two connections, so that one had to give way.
    """

    def __init__(self, laptop: Node, vps: Node) -> None:
        self.laptop = laptop
        self.vps = vps
        self.both_dialled = 0
        self._gate = laptop.scratch / "gate"
        for node in (laptop, vps):
            places = ("--gate", str(self._gate), "--noted", str(_noted(node)))
            node.launcher = (sys.executable, "-P", str(_PROGRAM), *places, "--")

    def race(self) -> None:
        """Start both and have them dial at once; they settle on one link, and a spawn goes over it."""
        pair = (self.laptop, self.vps)
        self._gate.unlink(missing_ok=True)
        for node in pair:
            node.kill()
            _noted(node).unlink(missing_ok=True)
        for node in pair:
            node.start()
        self._gate.touch()
        self._settled()
        with self.laptop.control() as control:
            spawn = control.spawn("/bin/true", broker="vps", cwd=str(self.vps.work))
            assert control.wait(spawn["id"])["state"] == "completed"
        self._settled()  # a dial that was slow may have come about meanwhile, and taken the place of the other
        self.both_dialled += all(_noted(node).exists() for node in pair)

    def _settled(self) -> None:
        wait_until(lambda: share_one(self.laptop, self.vps), SETTLED_WITHIN, "one link, the same for both")


def _noted(node: Node) -> Path:
    return node.scratch / f"{node.name}.dialled"


@contextmanager
def racers() -> Iterator[Pair]:
    """A pair that is linked; laptop may spawn on vps."""
    with Mesh.scratch("relay-race-") as mesh:
        laptop, vps = mesh.pair("laptop", "vps")
        mesh.grant(on=vps, to=laptop)
        yield Pair(laptop, vps)

"""Durable envelopes from broker to broker: from the first posting until the last receipt has cleared the outbox."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until

_PROGRAM = Path(__file__).with_name("flood.py")
COUNT = 6_000
QUEUED = 10_000
WITHIN = 60.0
BODY_BYTES = 200  # what a `stop` has inside its seal


def _poured(node: Node) -> Path:
    return node.scratch / f"{node.name}.poured"


def _restart_as_flood(node: Node, peer: Node, count: int = COUNT) -> None:
    node.stop()
    _poured(node).unlink(missing_ok=True)
    words = ("--peer", peer.id, "--count", str(count), "--poured", str(_poured(node)), "--")
    node.launcher = (sys.executable, "-P", str(_PROGRAM), *words)
    node.start()


def _pour(node: Node) -> None:
    assert node.process is not None
    node.process.send_signal(signal.SIGUSR1)


def _is_done(node: Node) -> bool:
    return _poured(node).exists() and node.status()["outbox"]["envelopes"] == 0


@dataclass(frozen=True, slots=True)
class Flood:
    """Two linked brokers that flood each other when told."""

    mesh: Mesh
    nodes: tuple[Node, Node]

    def _rate(self, pouring: tuple[Node, ...]) -> float:
        for node, peer in (self.nodes, self.nodes[::-1]):
            _restart_as_flood(node, peer)
        self.mesh.await_link(*self.nodes)
        started = time.perf_counter()
        for node in pouring:
            _pour(node)
        for node in pouring:
            wait_until(partial(_is_done, node), WITHIN, "receipts for all envelopes")
        return COUNT * len(pouring) / (time.perf_counter() - started)

    def one_way(self) -> float:
        """Envelopes a second, durable on both sides and receipted."""
        return self._rate(self.nodes[:1])

    def both_ways(self) -> float:
        """Likewise with both pouring at once: the sum."""
        return self._rate(self.nodes)

    def drained(self) -> float:
        """Envelopes a second, queued while the recipient was away: from the link's coming up to the last receipt."""
        origin, recipient = self.nodes
        _restart_as_flood(origin, recipient, QUEUED)
        recipient.stop()
        wait_until(lambda: origin.status()["links"] == 0, WITHIN, "the recipient to be gone")
        _pour(origin)
        wait_until(_poured(origin).exists, WITHIN, "all to be queued")
        queued = origin.status()["outbox"]["envelopes"]
        if queued != QUEUED:
            raise RuntimeError(f"{queued} envelopes are queued, not {QUEUED}")
        recipient.start()
        wait_until(lambda: origin.status()["links"] == 1, WITHIN, "the link", every=0.005)
        started = time.perf_counter()
        wait_until(partial(_is_done, origin), WITHIN, "receipts for all envelopes")
        return QUEUED / (time.perf_counter() - started)


@contextmanager
def flooded() -> Iterator[Flood]:
    """The brokers, for a block."""
    with Mesh.scratch("relay-flood-") as mesh:
        laptop, vps = mesh.pair("laptop", "vps")
        for node, peer in ((laptop, vps), (vps, laptop)):
            mesh.grant(on=node, to=peer)  # who has none is rationed
        yield Flood(mesh, (laptop, vps))

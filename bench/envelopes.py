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
WITHIN = 60.0
BODY_BYTES = 200  # what a `stop` has inside its seal


def _poured(node: Node) -> Path:
    return node.scratch / f"{node.name}.poured"


def _restart_as_flood(node: Node, peer: Node) -> None:
    node.stop()
    _poured(node).unlink(missing_ok=True)
    words = ("--peer", peer.id, "--count", str(COUNT), "--poured", str(_poured(node)), "--")
    node.launcher = (sys.executable, "-P", str(_PROGRAM), *words)
    node.start()


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
            assert node.process is not None
            node.process.send_signal(signal.SIGUSR1)
        for node in pouring:
            wait_until(partial(_is_done, node), WITHIN, "receipts for all envelopes")
        return COUNT * len(pouring) / (time.perf_counter() - started)

    def one_way(self) -> float:
        """Envelopes a second, durable on both sides and receipted."""
        return self._rate(self.nodes[:1])

    def both_ways(self) -> float:
        """Likewise with both pouring at once: the sum."""
        return self._rate(self.nodes)


@contextmanager
def flooded() -> Iterator[Flood]:
    """The brokers, for a block."""
    with Mesh.scratch("relay-flood-") as mesh:
        yield Flood(mesh, mesh.pair("laptop", "vps"))

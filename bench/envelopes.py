"""Durable envelopes from broker to broker: from the first posting until the last receipt has cleared the outbox."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

from relay.testing.mesh import Mesh
from relay.testing.node import Node
from relay.testing.processes import wait_until

_PROGRAM = Path(__file__).with_name("flood.py")
COUNT = 8_000
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


def _rate(mesh: Mesh, nodes: tuple[Node, Node], pouring: tuple[Node, ...]) -> float:
    for node, peer in (nodes, nodes[::-1]):
        _restart_as_flood(node, peer)
    mesh.await_link(*nodes)
    started = time.perf_counter()
    for node in pouring:
        assert node.process is not None
        node.process.send_signal(signal.SIGUSR1)
    for node in pouring:
        wait_until(lambda node=node: _is_done(node), WITHIN, "receipts for all envelopes")  # type: ignore[misc]
    return COUNT * len(pouring) / (time.perf_counter() - started)


def per_second() -> dict[str, float]:
    """Envelopes a second, durable on both sides and receipted: one way, and both ways at once (their sum)."""
    with Mesh.scratch("relay-flood-") as mesh:
        nodes = mesh.pair("laptop", "vps")
        return {"one way": _rate(mesh, nodes, nodes[:1]), "both ways": _rate(mesh, nodes, nodes)}

"""Remote spawns beside other runners of work. For looking, without a target: none of them gives what Relay gives."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import spawns
from bench.peers import running
from bench.peers.running import NoPeer, Peer
from bench.table import Line, Table
from bench.timing import Job, in_turns, medians_in_turns
from relay.testing.node import Node

JOBS, WITHIN, MANY = 200, 10.0, 400
_PEERS: dict[str, Callable[[Path], contextlib.AbstractContextManager[Peer]]] = {
    "Celery + Redis": running.celery,
    "Ray": running.ray,
}


def add_lines(table: Table, origin: Node, target: Node, in_flight: int) -> None:
    """Measure the peers that are here, one after another, each in turns with Relay.

    Args:
        table: where the lines go.
        origin, target: linked brokers.
        in_flight: jobs at a time.
    """
    for name, up in _PEERS.items():
        folder = Path(tempfile.mkdtemp(prefix="bench-"))
        try:
            with up(folder) as peer:
                _add_lines(table, name, peer, origin, target, in_flight)
        except NoPeer as error:
            table.skip(f"{name} ({error})")
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _add_lines(table: Table, name: str, peer: Peer, origin: Node, target: Node, in_flight: int) -> None:
    with origin.control() as control:
        ours, theirs = in_turns(spawns.round_trip(control, target), Job(peer.once, JOBS, WITHIN, 20))
    ratio = ours.p50 / theirs.p50
    table.add(Line("remote spawn, API, p50 / p99 ms", str(ours), f"{name}: {theirs}", ratio))
    rate, beside = medians_in_turns(
        lambda: spawns.per_second(origin, target, in_flight), partial(peer.many_per_second, MANY, in_flight)
    )
    what = f"spawns/s, {in_flight} in flight"
    table.add(Line(what, f"{rate:.0f}", f"{name}: {beside:.0f}", rate / beside))

"""Nodes over a network in memory; and clocks that run quicker where a test waits for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.core.kinds import Kind
from relay.store.journal import Letter
from relay.store.query import Query
from relay.testing.bench_node import BenchNode, bench_mesh, bench_pair, linked, until, wall_ms
from relay.testing.carrier import MemoryNetwork

Pair = tuple[BenchNode, BenchNode]
Three = tuple[BenchNode, BenchNode, BenchNode]
RAW = Query("SELECT envelope FROM outbox", lambda row: bytes(row[0]))


@pytest.fixture
def network() -> MemoryNetwork:
    return MemoryNetwork()


@pytest.fixture
async def pair(tmp_path: Path, network: MemoryNetwork) -> AsyncIterator[Pair]:
    """Two linked nodes; whatever the test does to them, nothing escapes their links."""
    async with bench_pair(tmp_path, network) as nodes:
        await linked(*nodes)
        yield nodes
    assert network.failures == []
    assert [node.escaped for node in nodes] == [[], []]


@pytest.fixture
def quick_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is noticed in a second or so instead of 9 s, and resending comes in 0.2 s instead of 30 s."""
    monkeypatch.setattr("relay.core.link.BUSY_PING", 100)
    monkeypatch.setattr("relay.core.link.IDLE_PING", 300)
    monkeypatch.setattr("relay.core.link.PING_STEP", 1)
    monkeypatch.setattr("relay.core.link.ANSWER_WITHIN", 1_000)
    monkeypatch.setattr("relay.core.delivery.RESEND_AFTER", 200)


@pytest.fixture
async def three(tmp_path: Path, network: MemoryNetwork) -> AsyncIterator[Three]:
    """Two that cannot reach each other, and one always on between them."""
    async with bench_mesh(tmp_path, 3, network, holders=[1], apart=[(0, 2)]) as (one, middle, other):
        await linked(one, middle, other)
        await until(lambda: len(middle.mesh.up) == 2)
        yield one, middle, other
    assert [node.escaped for node in (one, middle, other)] == [[], [], []]


async def sealed_for(one: BenchNode, other: BenchNode) -> bytes:
    """A durable envelope of one node for another, as it stands in the outbox."""
    await one.close()
    await one.open()
    letter = Letter(other.id, Kind.STOP, {"spawn": ""}, "sealed", 60_000)
    await one.store.write(lambda tx: one.postbox.post(tx, letter, wall_ms()))
    return (await one.store.all(RAW))[-1]

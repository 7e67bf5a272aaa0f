"""Nodes over a network in memory; and clocks that run quicker where a test waits for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.testing.bench_node import BenchNode, bench_pair, linked
from relay.testing.carrier import MemoryNetwork

Pair = tuple[BenchNode, BenchNode]


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
    """Silence is noticed in 0.3 s instead of 9 s, and resending comes in 0.2 s instead of 30 s."""
    monkeypatch.setattr("relay.core.link.BUSY_PING", 100)
    monkeypatch.setattr("relay.core.link.IDLE_PING", 300)
    monkeypatch.setattr("relay.core.link.ANSWER_WITHIN", 200)
    monkeypatch.setattr("relay.core.delivery.RESEND_AFTER", 200)

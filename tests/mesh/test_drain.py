"""A long queue for a broker that was away is delivered to it, and acted on once, when it comes back."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from relay.testing.bench_node import bench_pair, drained, linked

COUNT, WITHIN = 10_000, 240.0


@pytest.mark.timeout(480)
async def test_a_queue_for_a_broker_that_was_away_is_acted_on_once(tmp_path: Path) -> None:
    """Over TLS. Both are started anew in between, so that all of it is read from the disk."""
    async with bench_pair(tmp_path) as (one, other):
        await linked(one, other)
        await other.close()
        operations = await one.pour(other.id, COUNT)
        assert await one.waiting() == COUNT
        await one.restart()
        await other.open()
        await drained(one, within=WITHIN)
        assert Counter(await other.acted()) == Counter(operations)
        assert await one.rows() == [] and one.escaped == other.escaped == []

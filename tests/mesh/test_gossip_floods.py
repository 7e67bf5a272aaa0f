"""Records by the million: nobody makes another grow by them, and no honest link ends."""

from __future__ import annotations

import os

import psutil
import pytest

from relay.broker.gossip import PAGE_RECORDS
from relay.broker.gossip_bounds import NEWS_AT_ONCE, NEWS_PER_S
from relay.core.errors import PeerFault
from relay.core.records import pack_record
from relay.core.wire import pack
from relay.testing.bench_node import identities
from relay.trust.identity import Identity
from tests.mesh.gossip_ground import Ground, record_of, signed


@pytest.fixture
def ground() -> Ground:
    return Ground()


def _flood(ground: Ground, count: int) -> int:
    """Records that are forged, or well signed by nobody of this workspace; how many of them were looked at."""
    (stranger,) = identities(1)
    looked_at = 0
    for at in range(0, count, PAGE_RECORDS):
        # time passes, so that no allowance spares this broker the work
        ground.ms += 3_600_000
        strangers = [Identity.create(os.urandom(32), os.urandom(32)) for _ in range(4)]
        page = [signed(strangers[n % 4], at + n) for n in range(PAGE_RECORDS // 2)]
        ground.hear(*page)
        looked_at += len(page)
        for n in range(PAGE_RECORDS // 2):
            content = pack_record(record_of(ground.third, at + n + 1, version=f"{at}"))
            with pytest.raises(PeerFault):
                ground.hear(pack([1, content, os.urandom(64)]))
            looked_at += 1
    assert stranger.id not in ground.members
    return looked_at


def _flood_and_measure(ground: Ground, count: int) -> tuple[int, float]:
    _flood(ground, 2_000)
    process = psutil.Process()
    before = process.memory_info().rss
    looked_at = _flood(ground, count)
    grown = (process.memory_info().rss - before) / 2**20
    assert len(ground.gossip.book) == 0 and ground.news == [] and ground.kept == []
    return looked_at, grown


def test_forged_and_foreign_records_leave_nothing(ground: Ground) -> None:
    """20,000 of them: nothing is kept, nothing grows."""
    looked_at, grown = _flood_and_measure(ground, 20_000)
    assert looked_at >= 20_000 and grown < 10, grown


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_a_million_forged_and_foreign_records(ground: Ground) -> None:
    looked_at, grown = _flood_and_measure(ground, 1_000_000)
    print(f"\n{looked_at:,} forged or foreign peer records: memory grew by {grown:.1f} MiB")  # noqa: T201
    assert looked_at >= 1_000_000 and grown < 50


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_a_million_valid_records_of_a_member_at_speed(ground: Ground) -> None:
    """Passed on by another one, 64 in a page, ten pages a second: few are taken, nothing grows, no link ends."""
    page = [signed(ground.third, at + 1) for at in range(PAGE_RECORDS)]
    process = psutil.Process()
    before, pages = process.memory_info().rss, 1_000_000 // PAGE_RECORDS
    for at in range(pages):
        ground.ms += 100
        page[at % PAGE_RECORDS] = signed(ground.third, at + PAGE_RECORDS + 1)
        ground.hear(*page)
        ground.said.clear()
    grown = (process.memory_info().rss - before) / 2**20
    print(f"\n{pages * PAGE_RECORDS:,} valid records: {len(ground.news):,} taken; memory grew by {grown:.1f} MiB")  # noqa: T201
    assert ground.drops == [] and grown < 50
    assert len(ground.news) <= NEWS_AT_ONCE + pages / 10 * NEWS_PER_S + 1

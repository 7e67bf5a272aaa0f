"""What a store forgot too early: what comes afterwards is taken in, what may have been taken never acts again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from relay.broker.clocks import Clocks
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.store import inbox
from relay.store.journal import Journal
from relay.testing import bench_node
from relay.testing.bench_node import BenchNode, bench_pair, drained, linked, until, wall_ms
from relay.testing.carrier import MemoryNetwork

DAY = 86_400_000


class Tongue:
    """What a broker answers to envelopes: noted, and said but for the kinds that are lost."""

    def __init__(self, node: BenchNode, *lost: Kind) -> None:
        self._say = node.mesh.say
        self.lost = set(lost)
        self.said: list[tuple[Kind, dict[str, Any]]] = []
        node.inbox._answer = self

    def __call__(self, origin: BrokerId, kind: Kind, content: dict[str, Any], giver: BrokerId | None = None) -> None:
        self.said.append((kind, content))
        if kind not in self.lost:
            self._say(origin, kind, content, giver)

    async def first(self) -> tuple[Kind, dict[str, Any]]:
        await until(lambda: self.said, what="an answer")
        return self.said[0]


async def _forgets(node: BenchNode, before: int) -> int:
    return await node.store.write(lambda tx: inbox.purge(tx, before))


async def _act_unheard(one: BenchNode, other: BenchNode) -> Tongue:
    """One envelope that acts, and whose receipt is lost; how the other one answers from now on."""
    await linked(one, other)
    tongue = Tongue(other, Kind.RECEIPT)
    await one.post(other.id, "once")
    await tongue.first()
    tongue.lost.clear()
    tongue.said.clear()
    return tongue


async def test_what_is_asked_for_after_an_early_purge_is_taken_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The highest purged expiry lies a month ahead; what is made now lives for a week."""
    async with bench_pair(tmp_path, MemoryNetwork()) as (one, other):
        await linked(one, other)
        monkeypatch.setattr(bench_node, "TTL_MS", 30 * DAY)
        await one.pour(other.id, 3, "before")
        await drained(one)
        assert await _forgets(other, wall_ms() + 40 * DAY) == 6
        monkeypatch.setattr(bench_node, "TTL_MS", 7 * DAY)
        await one.pour(other.id, 3, "after")
        await drained(one)
        acted = await other.acted()
        assert len(acted) == len(set(acted)) == 6


async def test_what_may_have_been_forgotten_waits_and_never_acts_twice(tmp_path: Path) -> None:
    """Its receipt is lost and its row purged long before its time: it comes again, is put off, and is not refused."""
    async with bench_pair(tmp_path, MemoryNetwork()) as (one, other):
        tongue = await _act_unheard(one, other)
        assert await _forgets(other, wall_ms() + 40 * DAY) == 2
        one.mesh.drop(other.id, "cut")
        kind, content = await tongue.first()
        assert (kind, content["code"]) == (Kind.NOTICE, "unsure")
        assert await other.acted() == ["once"]
        assert [str(line.state) for line in await one.rows()] == ["pending"]


async def test_a_jump_alone_is_known_over_restarts(tmp_path: Path) -> None:
    now = wall_ms()
    async with bench_pair(tmp_path, MemoryNetwork()) as (node, _):
        for ahead, believed in ((0, True), (40 * DAY, False), (41 * DAY, False), (DAY, True)):
            journal = Journal(node.store, node.postbox, lambda ahead=ahead: now + ahead)  # type: ignore[misc]
            clocks = Clocks(lambda peer: False, journal.clock, lambda: 0)
            await clocks.open(node.store)
            assert clocks.may_expire() is believed and clocks.jumped_alone is not believed
            assert await journal.commit(clocks.note) == now + (ahead if believed else 0)

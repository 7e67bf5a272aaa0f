"""Gossip over links: what a third passes on, what is learnt when a link comes up, and who floods loses the link."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

from relay.broker.gossip import Gossip, Surroundings
from relay.broker.link import Link, monotonic_ms
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.records import MAX_LIFE_MS, Record
from relay.testing.bench_node import BenchNode, bench_mesh, linked, until, wall_ms
from relay.testing.carrier import MemoryNetwork
from relay.trust.records import sign_record, verify_record
from tests.mesh.conftest import Pair


class Talker:
    """A bench node that gossips."""

    def __init__(self, node: BenchNode) -> None:
        self.node = node
        self.seq = 0
        around = Surroundings(
            own=node.id,
            read=lambda raw: verify_record(raw, node.members.keys),
            say=node.mesh.say,
            linked=lambda: [link.peer for link in node.mesh.up],
            drop=node.mesh.drop,
            keep=lambda held: None,
            news=lambda record, before: None,
            size=lambda: len(node.members.roster.members),
            behind=lambda incarnation: None,
        )
        self.gossip = Gossip(around, wall_ms, monotonic_ms)
        self.gossip.waiting = self._compare_soon
        node.inbox._hears |= self.gossip.hears
        node.mesh.connect(node.outbox, node.custody, node.inbox.take, self._link_changed)

    def _compare_soon(self) -> None:
        asyncio.get_running_loop().call_soon(self.gossip.compare_next)

    def _link_changed(self, link: Link, up: bool) -> None:
        self.node._link_changed(link, up)
        self.gossip.link_changed(link.peer, up)

    def signed(self, **said: object) -> tuple[Record, bytes]:
        self.seq += 1
        identity, now = self.node.place.identity, wall_ms()
        record = Record(identity.public, identity.sealing.public, 1, self.seq, now, now + MAX_LIFE_MS)
        record = dataclasses.replace(record, **said)  # type: ignore[arg-type]
        return record, sign_record(identity, record)

    def publish(self, **said: object) -> None:
        self.gossip.publish(*self.signed(**said))

    def knows(self, broker: BrokerId) -> int:
        held = self.gossip.book.get(broker)
        return held.record.seq if held else 0


async def test_a_record_reaches_whom_its_owner_does_not(tmp_path: Path, network: MemoryNetwork) -> None:
    async with bench_mesh(tmp_path, 3, network) as nodes:
        one, between, other = map(Talker, nodes)
        await until(lambda: all(len(node.mesh.up) == 2 for node in nodes))
        network.partition(one.node.id, other.node.id)
        network.cut(one.node.id, other.node.id)
        await until(lambda: not one.node.mesh.is_linked(other.node.id))
        one.publish(linked=(between.node.id,))
        await until(lambda: other.knows(one.node.id) == 1)
        assert between.gossip.book.linked_to(one.node.id) == [between.node.id]
        # a link that comes up brings both books together, without a word from the owners
        other.gossip.forget(one.node.id)
        between.publish()
        network.heal(one.node.id, other.node.id)
        await until(lambda: other.knows(one.node.id) == 1 and one.knows(between.node.id) == 1)
    assert network.failures == []


async def test_who_floods_loses_the_link_and_is_heard_again_later(pair: Pair) -> None:
    one, other = map(Talker, pair)
    await linked(*pair)
    link = other.node.mesh.link(one.node.id)
    assert link is not None
    page = [one.signed()[1] for _ in range(64)]
    while not link.ended.is_set():
        for _ in range(8):
            one.node.mesh.say(other.node.id, Kind.RECORD, {"records": page, "news": True})
        await asyncio.sleep(0.001)
    assert link.reason == "refused: too many peer records"
    assert len(other.gossip.book) <= 1
    await linked(*pair)


async def test_who_passes_on_what_is_forged_loses_the_link(pair: Pair) -> None:
    one, other = map(Talker, pair)
    await linked(*pair)
    link = other.node.mesh.link(one.node.id)
    assert link is not None
    _, raw = one.signed()
    one.node.mesh.say(other.node.id, Kind.RECORD, {"records": [raw[:-1] + bytes([raw[-1] ^ 1])], "news": True})
    await asyncio.wait_for(link.ended.wait(), 20)
    assert link.reason.startswith("refused: ") and other.knows(one.node.id) == 0
    await linked(*pair)

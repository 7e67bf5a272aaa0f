"""Links between two real stacks: one a pair whoever dials, found when dead, ended for who breaks the rules."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from pathlib import Path

import pytest

from relay.broker.inbox import Inbox
from relay.core import ids
from relay.core.envelope import Body, Header
from relay.core.errors import Code, PeerFault
from relay.core.frames import Batch, Credit, HelloFrame, Ping, pack_frame
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.testing.bench_node import BenchNode, bench_mesh, bench_pair, drained, identities, linked, until, wall_ms
from relay.testing.carrier import Chaos, MemoryCarrier, MemoryNetwork
from relay.trust.identity import Identity
from relay.trust.sealing import PeerKeys, seal
from tests.mesh.conftest import Pair

RACES = 25


def share_one_link(one: BenchNode, other: BenchNode) -> bool:
    """Whether both hold the two ends of one connection, and no link besides."""
    ends = one.mesh.link(other.id), other.mesh.link(one.id)
    if any(end is None for end in ends) or len(one.mesh._all) != 1 or len(other.mesh._all) != 1:
        return False
    carriers = [end.carrier for end in ends if end is not None]
    return (
        all(isinstance(each, MemoryCarrier) for each in carriers)
        and len({id(each._connection) for each in carriers if isinstance(each, MemoryCarrier)}) == 1
    )


@pytest.mark.parametrize("delay", [0, 3])
async def test_simultaneous_dials_settle(tmp_path: Path, delay: int) -> None:
    """Each cut makes both dial at once; each time they end with one link, and nothing is lost on the way."""
    network = MemoryNetwork(Chaos(delay_ms=delay), seed=delay)
    async with bench_pair(tmp_path, network) as (one, other):
        for race in range(RACES):
            await until(lambda: share_one_link(one, other), what=f"one link after race {race}")
            await one.post(other.id, f"there-{race}")
            await other.post(one.id, f"back-{race}")
            network.cut(one.id, other.id)
            await until(lambda race=race: min(one.ups, other.ups) > race + 1)  # type: ignore[misc]
        await drained(one, other)
        assert len(await one.acted()) == len(await other.acted()) == RACES
        assert network.dials > RACES
    assert network.failures == [] and one.escaped == other.escaped == []


async def test_a_restarted_broker_takes_the_place_of_its_old_link(pair: Pair, network: MemoryNetwork) -> None:
    """The old connection is half open: the newer incarnation ends it without waiting for a ping."""
    one, other = pair
    old = other.mesh.link(one.id)
    assert old is not None and isinstance(old.carrier, MemoryCarrier)
    for pipe in old.carrier._connection.pipes:
        pipe.held = True
    await one.restart()
    await until(lambda: share_one_link(one, other))
    assert old.reason == "replaced"
    await other.post(one.id, "operation")
    await drained(other)


@pytest.mark.usefixtures("quick_clocks")
@pytest.mark.parametrize("busy", [True, False], ids=["something unanswered", "idle"])
async def test_a_half_open_link_is_found(pair: Pair, network: MemoryNetwork, busy: bool) -> None:
    one, other = pair
    link = one.mesh.link(other.id)
    assert link is not None
    await one.post(other.id, "before")
    await drained(one)
    network.partition(one.id, other.id)
    if busy:
        await one.post(other.id, "after")
    await asyncio.wait_for(link.ended.wait(), 20)
    assert link.reason.startswith("no answer to a ping")
    assert await other.acted() == ["before"]
    network.heal(one.id, other.id)
    await until(lambda: share_one_link(one, other))
    await drained(one)
    assert await other.acted() == ["before", "after"][: 1 + busy]


@pytest.mark.usefixtures("quick_clocks")
async def test_after_waking_a_dead_link_is_found_by_asking(pair: Pair, network: MemoryNetwork) -> None:
    one, other = pair
    link = one.mesh.link(other.id)
    assert link is not None
    link.check_now()
    await until(lambda: link.rtt_ms is not None)
    network.partition(one.id, other.id)
    link.check_now()
    await asyncio.wait_for(link.ended.wait(), 20)
    network.heal(one.id, other.id)
    await linked(one)


async def test_a_goodbye_is_heard(pair: Pair) -> None:
    one, other = pair
    link = other.mesh.link(one.id)
    assert link is not None
    one.mesh.drop(other.id, "down")
    await asyncio.wait_for(link.ended.wait(), 20)
    assert link.reason == "the other side said: down"
    await linked(one, other)


async def test_a_mesh_that_is_closed_takes_no_connection(pair: Pair, network: MemoryNetwork) -> None:
    one, other = pair
    await one.mesh.close("down")
    carrier = await network.dial(other.place.identity.public, one.id)
    await until(lambda: _is_over(carrier))


async def _is_over(carrier: object) -> bool:
    assert isinstance(carrier, MemoryCarrier)
    return carrier._in._over is not None


# who breaks the rules


@pytest.fixture
def stranger() -> Identity:
    return identities(1)[0]


def enveloped(origin: Identity, recipient: Identity, **changes: object) -> bytes:
    """A well sealed and signed `stop`."""
    keys = PeerKeys.of(recipient)
    now = wall_ms()
    header = Header(Kind.STOP, os.urandom(16), origin.id, keys.id, keys.key_id, 1, now, now + 60_000)
    header = dataclasses.replace(header, **changes)  # type: ignore[arg-type]
    return seal(origin, keys, header, Body("operation", {"spawn": ""}))


async def refused(inbox: Inbox, raw: bytes, giver: BrokerId) -> Code:
    with pytest.raises(PeerFault) as caught:
        await inbox.take([raw], giver)
    return caught.value.code


async def test_strangers_and_letters_for_others_are_refused(pair: Pair, stranger: Identity) -> None:
    one, other = pair
    ours, theirs = one.place.identity, other.place.identity
    assert await refused(other.inbox, enveloped(stranger, theirs), stranger.id) is Code.NOT_A_MEMBER
    assert await refused(other.inbox, enveloped(ours, stranger), one.id) is Code.NOT_A_MEMBER
    assert await refused(other.inbox, enveloped(ours, ours), one.id) is Code.NOT_A_MEMBER
    bent = bytearray(enveloped(ours, theirs))
    bent[-1] ^= 1
    assert await refused(other.inbox, bytes(bent), one.id) is Code.BAD_SIGNATURE
    assert await refused(other.inbox, b"rubbish", one.id) is Code.BAD_ENVELOPE
    assert await other.acted() == []
    await other.inbox.take([enveloped(ours, theirs)], one.id)
    assert await other.acted() == ["operation"]


@pytest.mark.parametrize(
    "changes",
    [{"kind": "unheard.of"}, {"kind": "spawn"}, {"expires": 1}],
    ids=["unknown kind", "keys are missing", "expired"],
)
async def test_a_members_senseless_letter_is_answered_with_a_nack(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object]
) -> None:
    one, other = pair
    said: list[tuple[object, ...]] = []
    monkeypatch.setattr(other.inbox, "_answer", lambda *what: said.append(what))
    raw = enveloped(one.place.identity, other.place.identity, **changes)
    await other.inbox.take([raw], one.id)
    assert [what[:2] for what in said] == [(one.id, Kind.NACK)]
    assert await other.acted() == []


async def test_an_id_used_again_with_other_bytes_is_refused(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = pair
    said: list[tuple[object, ...]] = []
    monkeypatch.setattr(other.inbox, "_answer", lambda *what: said.append(what))
    same = os.urandom(16)
    for _ in range(2):
        await other.inbox.take([enveloped(one.place.identity, other.place.identity, id=same)], one.id)
    assert [kind for _, kind, *_ in said] == [Kind.RECEIPT, Kind.NACK]
    assert said[1][2]["code"] == "replayed"  # type: ignore[index]
    assert await other.acted() == ["operation"]


@pytest.mark.parametrize(
    "what",
    [
        b"rubbish",
        pack_frame(HelloFrame(b"again")),
        pack_frame(Batch((b"no envelope",))),
        pack_frame(Batch(tuple(bytes(1000) for _ in range(3)))),
    ],
    ids=["rubbish", "second hello", "no envelope", "a bad batch"],
)
async def test_who_breaks_the_protocol_loses_the_link(pair: Pair, what: bytes) -> None:
    one, other = pair
    link, theirs = one.mesh.link(other.id), other.mesh.link(one.id)
    assert link is not None and theirs is not None
    await link.carrier.send(what)
    await asyncio.wait_for(theirs.ended.wait(), 20)
    await asyncio.wait_for(link.ended.wait(), 20)
    await until(lambda: share_one_link(one, other))
    await one.post(other.id, "operation")
    await drained(one)


@pytest.mark.parametrize("first", [pack_frame(Ping(1)), pack_frame(Credit(5)), pack_frame(HelloFrame(b"x" * 100))])
async def test_who_does_not_greet_gets_no_link(pair: Pair, network: MemoryNetwork, first: bytes) -> None:
    one, other = pair
    present = other.mesh.link(one.id)
    carrier = await network.dial(one.place.identity.public, other.id)
    await carrier.send(first)
    await until(lambda: _is_over(carrier))
    assert other.mesh.link(one.id) is present


async def test_a_stranger_with_the_workspace_key_is_not_greeted(
    pair: Pair, network: MemoryNetwork, stranger: Identity
) -> None:
    one, other = pair
    posing = BenchNode(dataclasses.replace(one.place, identity=stranger))
    posing.store, posing.journal = one.store, one.journal
    carrier = await network.dial(stranger.public, other.id)
    await carrier.send(pack_frame(HelloFrame(one.mesh._greeter.hello(other.place.identity.public, True))))
    await until(lambda: _is_over(carrier))
    assert ids.broker_id(stranger.public) not in other.mesh._links


async def test_three_brokers_link_each_to_each(tmp_path: Path, network: MemoryNetwork) -> None:
    async with bench_mesh(tmp_path, 3, network) as nodes:
        await until(lambda: all(len(node.mesh.up) == 2 for node in nodes))
        for node in nodes:
            for peer in nodes:
                if peer is not node:
                    await node.post(peer.id, f"from-{node.id[:6]}")
        await drained(*nodes)
        assert [len(await node.acted()) for node in nodes] == [2, 2, 2]

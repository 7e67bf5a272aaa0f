"""Peer records between books: what is news goes on, everybody ends with the same, and nobody makes another grow."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from collections.abc import Callable
from typing import Any

import pytest

from relay.broker.gossip import PAGE_RECORDS
from relay.broker.gossip_bounds import MAX_STRIKES, NEWS_AT_ONCE, NEWS_PER_S
from relay.core.errors import Code, PeerFault
from relay.core.records import MAX_LIFE_MS, pack_record
from relay.testing.bench_node import identities
from tests.mesh.gossip_ground import Ground, record_of, signed
from tests.mesh.gossip_world import NOW, World, full_mesh, hub, sparse

SHAPES: dict[str, Callable[[], World]] = {
    "full": lambda: full_mesh(50),
    "one hub": lambda: hub(200),
    "three hubs": lambda: hub(200, 3),
    "sparse": lambda: sparse(200),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_change_is_known_everywhere_for_few_bytes(shape: str) -> None:
    """Each hears of it a few times at most, however many links there are."""
    world = SHAPES[shape]()
    world.publish(world.members[-1])
    world.run()
    assert world.knows_newest(world.members[-1], world.members) == world.size
    assert world.counts.messages < 10 * world.size
    assert world.dropped == []


def test_a_dense_mesh_of_many_hears_of_each_change_five_times() -> None:
    world = full_mesh(300)
    world.publish(world.members[7])
    world.run()
    assert world.knows_newest(world.members[7], world.members) == world.size
    assert world.counts.messages <= 5 * world.size


def test_who_starts_with_an_empty_book_is_told_once() -> None:
    world = full_mesh(100)
    fresh = world.members[0]
    peers = list(world.links[fresh])
    world.gossips[fresh] = world._gossip(fresh, 0)
    world.publish(fresh)
    for peer in peers:
        world.link(fresh, peer)
    world.run()
    assert len(world.gossips[fresh].book) == world.size
    # its peers held its record, and give it back to nobody else
    assert world.by_broker[fresh].records < 3 * world.size


def test_two_halves_that_meet_hear_of_each_other() -> None:
    world = World(40)
    halves = world.members[:20], world.members[20:]
    for half in halves:
        for at, member in enumerate(half):
            for other in half[max(0, at - 3) : at]:
                world.link(member, other)
            world.publish(member)
    world.run()
    assert {len(gossip.book) for gossip in world.gossips.values()} == {20}
    world.link(halves[0][4], halves[1][4])
    world.run()
    assert {len(gossip.book) for gossip in world.gossips.values()} == {40}
    assert len({gossip.book.root for gossip in world.gossips.values()}) == 1


@pytest.mark.parametrize("seed", range(8))
def test_lost_pushes_are_made_good(seed: int) -> None:
    """Links flap and members speak at random; comparing books in the end leaves nobody behind."""
    world, chance = sparse(30), random.Random(seed)
    for _ in range(60):
        member = chance.choice(world.members)
        if chance.random() < 0.5:
            world.publish(member)
        else:
            world._wire.clear()
        if chance.random() < 0.3:
            world.run()
    for gossip in world.gossips.values():
        gossip.compare_with(world.links[gossip._around.own])
    world.run()
    assert len({gossip.book.root for gossip in world.gossips.values()}) == 1


def test_what_has_expired_is_not_taken_in() -> None:
    world = full_mesh(3)
    one, other, _ = world.members
    old = world.saying[other]
    world.gossips[one].forget(other)
    world.now = NOW + MAX_LIFE_MS
    world.gossips[one].hear(other, {"records": [pack_record(old)]})
    assert world.gossips[one].book.get(other) is None


# with real signatures


@pytest.fixture
def ground() -> Ground:
    return Ground()


def test_news_is_kept_and_passed_on_once(ground: Ground) -> None:
    raw = signed(ground.peer)
    ground.hear(raw)
    ground.hear(raw)
    assert ground.news == [ground.peer.id] and [each.raw for each in ground.kept] == [raw]
    assert ground.said == [(ground.third.id, {"records": [raw], "news": True})]


def test_the_higher_one_wins_and_a_lower_one_never_comes_back(ground: Ground) -> None:
    for incarnation, seq in ((1, 5), (1, 4), (2, 1), (1, 9)):
        ground.hear(signed(ground.peer, seq, incarnation=incarnation))
    held = ground.gossip.book.get(ground.peer.id)
    assert held is not None and held.record.age == (2, 1)
    assert len(ground.news) == 2


def test_one_number_for_two_records_is_logged_once(ground: Ground, caplog: pytest.LogCaptureFixture) -> None:
    ground.hear(signed(ground.peer))
    for version in ("1", "2", "3"):
        ground.hear(signed(ground.peer, version=version))
    assert len(ground.news) == 1
    assert sum("two different peer records" in each.message for each in caplog.records) == 1


def test_a_forged_record_costs_the_link(ground: Ground) -> None:
    forged = bytearray(signed(ground.third))
    forged[-1] ^= 1
    with pytest.raises(PeerFault) as caught:
        ground.hear(bytes(forged))
    assert caught.value.code is Code.BAD_SIGNATURE and len(ground.gossip.book) == 0


@pytest.mark.parametrize(
    "content",
    [
        {"records": "x"},
        {"records": [1]},
        {"records": [b"x" * 5_000]},
        {"records": [b""] * (PAGE_RECORDS + 1)},
        {"root": b""},
        {"sums": b"x"},
        {"entries": [], "buckets": [99]},
        {"entries": [[1]], "buckets": [1]},
        {"wanted": [b"x"]},
    ],
)
def test_who_speaks_nonsense_loses_the_link(ground: Ground, content: dict[str, Any]) -> None:
    with pytest.raises(PeerFault):
        ground.gossip.hear(ground.peer.id, content)


def test_a_stranger_s_record_is_passed_over(ground: Ground) -> None:
    (stranger,) = identities(1)
    ground.hear(signed(stranger))
    wrong_key = signed(ground.third, sealing_public=stranger.sealing.public)
    ground.hear(wrong_key, signed(ground.peer))
    assert ground.news == [ground.peer.id] and len(ground.gossip.book) == 1


def test_this_broker_s_own_word_from_later_shows_that_it_was_restored(ground: Ground) -> None:
    ground.gossip.publish(record_of(ground.own), signed(ground.own))
    ground.hear(signed(ground.own, incarnation=1, seq=8), signed(ground.own, incarnation=4))
    assert ground.later == [4] and ground.news == []


def test_who_floods_is_passed_over_and_then_dropped(ground: Ground) -> None:
    page = [signed(ground.peer, at) for at in range(PAGE_RECORDS)]
    pages = 0
    while not ground.drops:
        ground.hear(*page)
        pages += 1
    assert ground.drops == ["refused: too many peer records"]
    assert pages <= (256 + 12) // PAGE_RECORDS + MAX_STRIKES + 1
    # time makes it good again
    ground.ms += 3_600_000
    before = len(ground.news)
    ground.hear(signed(ground.peer, 500))
    assert len(ground.news) == before + 1


def test_what_a_peer_passes_on_of_others_is_bounded_and_never_held_against_it(ground: Ground) -> None:
    """A member that always says something new: few of it are taken, fewer than are sent, and the sender stays."""
    for at in range(1_000):
        ground.ms += 100
        ground.hear(signed(ground.third, at + 1))
    assert ground.drops == []
    assert len(ground.news) <= NEWS_AT_ONCE + 100 * NEWS_PER_S + 1
    passed_on = [content for _, content in ground.said if content.get("news")]
    assert len(passed_on) <= len(ground.news)
    # others are heard meanwhile
    ground.hear(signed(ground.peer))
    assert ground.news[-1] == ground.peer.id


def test_who_says_something_new_each_moment_loses_its_link(ground: Ground) -> None:
    for at in range(NEWS_AT_ONCE + MAX_STRIKES - 1):
        ground.hear(signed(ground.peer, at + 1))
    assert ground.drops == []
    ground.hear(signed(ground.peer, 500))
    assert ground.drops == ["refused: too many peer records"]


def test_who_says_something_new_in_five_seconds_is_heard_each_time(ground: Ground) -> None:
    for at in range(200):
        ground.ms += 5_000
        ground.hear(signed(ground.peer, at + 1))
    assert len(ground.news) == 200 and ground.drops == []


@pytest.mark.parametrize(("bad", "honest"), [(2, 0), (20, 30)])
def test_members_gone_bad_make_no_honest_links_end(bad: int, honest: int) -> None:
    """Each says something new as quickly as it may send; B, which is linked with them, passes it on to C."""
    world = World(2 + bad + honest)
    b, c = world.members[:2]
    gone_bad = world.members[2 : 2 + bad]
    for each in (c, *gone_bad):
        world.link(b, each, tell=False)
    world.settled()
    for _ in range(600):
        world.now += 200
        for each in gone_bad:
            world.seqs[each] += 1
            news = pack_record(dataclasses.replace(world.record(each), linked=()))
            world._wire.append((each, b, {"records": [news], "news": True}))
        world.run()
    assert {peer for peer, _ in world.dropped} <= set(gone_bad)
    assert world.dropped, "their own links end"
    assert world.by_broker[c].records <= bad * (NEWS_AT_ONCE + 120 * NEWS_PER_S + 1)


def test_asking_for_much_is_flooding_too(ground: Ground) -> None:
    for each in (ground.peer, ground.third):
        ground.hear(signed(each))
    prefixes = [hashlib.sha256(each.public).digest()[:8] for each in (ground.peer, ground.third)] * 50
    while not ground.drops:
        ground.gossip.hear(ground.peer.id, {"wanted": prefixes})
    assert sum(len(content.get("records", ())) for _, content in ground.said) < 300


@pytest.mark.chaos
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("shape", "most"), [(full_mesh, 5), (hub, 1), (sparse, 8)], ids=["full", "hub", "sparse"])
def test_a_thousand_books(shape: Callable[[int], World], most: int) -> None:
    """What one change costs them all, and what a fresh start costs the one; the figures of docs/architecture.md."""
    world = shape(1_000)
    member = world.members[-1]
    world.publish(member)
    world.run()
    change = world.counts
    assert world.knows_newest(member, world.members) == world.size
    assert change.messages <= most * world.size
    world.reset()
    world.gossips[member] = world._gossip(member, 0)
    world.publish(member)
    for peer in list(world.links[member]):
        world.link(member, peer)
    world.run()
    own = world.by_broker[member].bytes
    assert len(world.gossips[member].book) == world.size
    print(f"\n{change.messages:,} messages, {change.bytes:,} bytes a change; a fresh start {own:,} bytes")  # noqa: T201

"""Rosters that were apart: each hears what it missed, once, and whoever says nonsense or nothing holds nobody up."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.broker.roster_exchange import FEW, MOST_TRIES, SILENT_MS
from relay.core.errors import PeerFault
from relay.core.statement_book import MAX_WANTED
from tests.mesh.roster_world import Broker, World, admissions, follow

MANY = 1_000
LINKS = 50


def crowd(world: World, raws: tuple[bytes, ...], size: int = LINKS) -> list[Broker]:
    """Brokers that know one another since long ago; the sleeper's number is in the middle of theirs."""
    brokers = [world.add(number, raws) for number in range(size)]
    for at, one in enumerate(brokers):
        for other in brokers[:at]:
            world.join_quietly(one, other)
    return brokers


def wakes(world: World, sleeper: Broker, peers: list[Broker]) -> None:
    """All links of a broker come up at once."""
    for peer in peers:
        world.link(sleeper, peer)
    world.run()


def test_who_slept_through_an_admission_hears_a_few_kilobytes_a_link() -> None:
    world, chain = World(), admissions(MANY)
    peers = crowd(world, chain)
    sleeper = world.add(MANY - 1, chain[:-1])
    wakes(world, sleeper, peers)
    assert world.heads() == {peers[0].roster.head} and len(sleeper.roster.members) == MANY
    # sent and heard, over all of its links; the statement itself came once
    assert sleeper.heard.records == 1
    assert sleeper.heard.bytes / LINKS < 3_000
    # nobody told anybody else what all knew already
    assert world.counts.bytes == sleeper.heard.bytes


def test_an_entirely_new_roster_comes_over_one_link() -> None:
    world, chain = World(), admissions(MANY)
    peers = crowd(world, chain)
    fresh = world.add(MANY - 1, chain[:1])
    wakes(world, fresh, peers)
    assert world.heads() == {peers[0].roster.head}
    assert fresh.heard.records == MANY - 1
    assert fresh.heard.bytes < 300 * MANY + LINKS * 3_000 + 40 * MANY


def test_who_comes_back_with_news_for_all_tells_them() -> None:
    """The one that signs was away from the others: they hear of it from it, or from one another."""
    world, chain = World(), admissions(300)
    peers = crowd(world, chain[:200], 20)
    signer = world.add(299, chain)
    wakes(world, signer, peers)
    assert world.heads() == {signer.roster.head}
    assert all(peer.heard.bytes < 2 * 100 * 400 + 20 * 3_000 + 40 * 100 for peer in peers)


def test_two_halves_that_meet_over_one_link() -> None:
    world, chain = World(), admissions(200)
    behind, ahead = crowd(world, chain[:150], 10), [world.add(number, chain) for number in range(100, 110)]
    for at, one in enumerate(ahead):
        for other in ahead[:at]:
            world.join_quietly(one, other)
    world.link(behind[3], ahead[4])
    world.run()
    assert world.heads() == {ahead[0].roster.head}


def test_an_admission_is_told_as_it_is_and_not_back() -> None:
    world, chain = World(), admissions(20)
    brokers = crowd(world, chain, 10)
    news = follow(list(chain), 20)[-1:]
    brokers[0].admit(news)
    world.run()
    assert len(world.heads()) == 1 and len(brokers[5].roster.members) == 21
    # nobody asked anything
    assert world.counts.records == world.counts.messages <= 10 * 9
    assert brokers[0].heard.messages == 9


@pytest.mark.parametrize("lost", [1, FEW + 1, MAX_WANTED + 9])
def test_a_statement_whose_predecessor_is_missing_heals_over_the_same_link(lost: int) -> None:
    world, chain = World(), list(admissions(400))
    one, other = world.add(0, chain), world.add(1, chain)
    world.join_quietly(one, other)
    for subject in range(400, 400 + lost):
        chain = follow(chain, subject)
        one.admit(chain[-1:])
    world.wire.clear()
    chain = follow(chain, 900)
    one.admit(chain[-1:])
    world.run()
    assert other.roster.head == one.roster.head and len(other.roster.members) == 401 + lost


def forks() -> tuple[list[bytes], list[bytes]]:
    """Two chains of a creator that was cloned: alike up to the 70th statement."""
    stem = list(admissions(70))
    one, other = stem, stem
    for subject in range(100, 130):
        one, other = follow(one, subject), follow(other, subject + 500)
    return one, other[:-7]


def test_a_fork_becomes_known_to_both_sides() -> None:
    world = World()
    left, right = forks()
    one, other = world.add(0, left), world.add(1, right)
    third = world.add(2, right)
    world.join_quietly(other, third)
    world.link(one, other)
    world.run()
    assert len(world.heads()) == 1
    for broker in (one, other, third):
        assert broker.roster.forked and len(broker.roster.members) == 70
    assert len(one.book) == len(other.book) == len(set(left) | set(right))


def test_one_branch_meets_one_that_knows_of_the_fork() -> None:
    left, right = forks()
    world = World()
    knows, branch = world.add(0, [*left, *right[70:]]), world.add(1, left)
    world.link(branch, knows)
    world.run()
    assert branch.roster.forked and branch.roster.head == knows.roster.head


def test_who_says_nothing_is_given_up_and_asked_again_after_the_others() -> None:
    world, chain = World(), admissions(30)
    mute, other = world.add(0, chain), world.add(1, chain)
    sleeper = world.add(2, chain[:20])
    world.link(sleeper, mute)
    world.wire.clear()
    world.link(sleeper, other)
    asked_mute = 1
    for _ in range(2 * MOST_TRIES):
        world.now += SILENT_MS
        sleeper.exchange.look()
        while world.wire:
            sender, recipient, content = world.wire.popleft()
            if mute.own in (sender, recipient):
                asked_mute += recipient == mute.own
            else:
                world.brokers[recipient].exchange.hear(sender, content)
    assert sleeper.roster.head == other.roster.head and sleeper.reminded
    assert asked_mute <= MOST_TRIES + 1  # and once it answered the other's question


def test_who_gives_nothing_of_what_it_names_holds_nobody_up() -> None:
    world, chain = World(), admissions(30)
    liar, other = world.add(0, chain), world.add(1, chain)
    sleeper = world.add(2, chain[:20])
    world.link(sleeper, liar)
    world.wire.clear()
    world.link(sleeper, other)
    sleeper.exchange.hear(liar.own, {"head": bytes(32), "marks": b"nothing of this " * 4})
    assert [content.get("wanted") for _, to, content in world.wire if to == liar.own] == [b"nothing of this "]
    sleeper.exchange.hear(liar.own, {"head": bytes(32), "statements": []})
    world.run()
    assert sleeper.roster.head == other.roster.head


def test_a_link_that_ends_in_the_middle_leaves_the_others() -> None:
    world, chain = World(), admissions(30)
    one, other = world.add(0, chain), world.add(1, chain)
    sleeper = world.add(2, chain[:20])
    world.link(sleeper, one)
    world.link(sleeper, other)
    world.cut(sleeper, one)
    world.run()
    assert sleeper.roster.head == other.roster.head


def test_a_link_that_replaces_another_begins_anew() -> None:
    world, chain = World(), admissions(30)
    one, sleeper = world.add(0, chain), world.add(2, chain[:20])
    world.link(sleeper, one)
    world.wire.clear()
    world.link(sleeper, one)
    world.run()
    assert sleeper.roster.head == one.roster.head


def test_who_asks_without_end_is_passed_over() -> None:
    world, chain = World(), admissions(30)
    one, greedy = world.add(0, chain), world.add(1, chain)
    world.join_quietly(one, greedy)
    marks = b"".join(one.book.marks_beside(b""))
    for _ in range(100):
        one.exchange.hear(greedy.own, {"wanted": marks})
    assert 0 < len(world.wire) < 20
    world.wire.clear()
    world.now += 3_600_000
    one.exchange.hear(greedy.own, {"wanted": marks})
    assert len(world.wire) == 1


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.binary(max_size=64),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
STEPS = st.dictionaries(
    st.sampled_from(["head", "statements", "news", "sums", "marks", "wanted"]),
    ANYTHING | st.binary(min_size=32, max_size=32) | st.lists(st.sampled_from(admissions(8)), max_size=8),
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=6))
def test_nonsense_is_refused_and_leaves_a_roster_that_works(steps: list[dict[str, Any]]) -> None:
    world, chain = World(), admissions(8)
    one, odd, good = world.add(0, chain[:3]), world.add(1, chain), world.add(2, chain)
    world.join_quietly(one, odd)
    for step in steps:
        try:
            one.exchange.hear(odd.own, step)
        except PeerFault:
            pass
    world.wire.clear()
    world.cut(one, odd)
    world.link(one, good)
    world.run()
    assert one.roster.head == good.roster.head


@pytest.mark.parametrize("seed", range(30))
def test_whatever_is_lost_or_cut_all_agree_once_links_hold(seed: int) -> None:
    chance, world = random.Random(seed), World()
    chain = list(admissions(90))
    brokers = [world.add(number, chain[: chance.randint(1, 90)]) for number in range(8)]
    brokers[0].admit(chain)
    for _ in range(60):
        one, other = chance.sample(brokers, 2)
        if other.own in one.links:
            world.cut(one, other)
        else:
            world.link(one, other)
        if chance.random() < 0.3:
            chain = follow(chain, 200 + len(chain))
            brokers[0].admit(chain[-1:])
        world.lose = chance.random() < 0.3
        world.run()
        world.now += SILENT_MS
        for broker in brokers:
            broker.exchange.look()
    world.lose = False
    for at, one in enumerate(brokers):
        for other in brokers[:at]:
            if other.own in one.links:
                world.cut(one, other)
            world.link(one, other)
    world.run()
    assert len(world.heads()) == 1 and len(brokers[3].roster.members) == len(chain)

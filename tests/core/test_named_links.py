"""Which links a record names: an order for each owner, so that in a full mesh everybody is named by about as many."""

from __future__ import annotations

import hashlib
from collections import Counter

from relay.core import ids
from relay.core.named_links import ALWAYS_ON_PLACES, chosen_links
from relay.core.records import MAX_LINKED

MANY = [ids.broker_id(hashlib.sha256(b"named %d" % at).digest()) for at in range(500)]


def others(owner: str) -> list[ids.BrokerId]:
    return [each for each in MANY if each != owner]


def test_all_are_named_where_there_is_room() -> None:
    few = MANY[1 : 1 + MAX_LINKED]
    assert chosen_links(MANY[0], few, few[:3]) == tuple(sorted(few))


def test_in_a_full_mesh_everybody_is_named_by_about_as_many() -> None:
    named = Counter(each for owner in MANY for each in chosen_links(owner, others(owner), ()))
    counts = sorted(named[each] for each in MANY)
    # drawn at random: 32 on average, with a deviation of 5.5
    assert sum(counts) == MAX_LINKED * len(MANY)
    assert 8 < counts[0] and counts[-1] < 60
    assert 22 < counts[len(MANY) // 20] and counts[-len(MANY) // 20] < 43


def test_members_that_are_always_on_have_half_of_the_places_at_most() -> None:
    hubs = MANY[:100]
    chosen = chosen_links(MANY[-1], others(MANY[-1]), hubs)
    assert len(chosen) == MAX_LINKED and len(set(chosen) & set(hubs)) == ALWAYS_ON_PLACES
    three = chosen_links(MANY[-1], others(MANY[-1]), MANY[:3])
    assert set(MANY[:3]) <= set(three) and len(three) == MAX_LINKED
    # where hardly anybody else is there, they fill the rest
    mostly = chosen_links(MANY[-1], MANY[:105], hubs)
    assert set(MANY[100:105]) <= set(mostly) and len(mostly) == MAX_LINKED


def test_with_hubs_the_others_are_still_named_alike() -> None:
    hubs = MANY[:5]
    named = Counter(each for owner in MANY for each in chosen_links(owner, others(owner), hubs))
    assert all(named[hub] == len(MANY) - 1 for hub in hubs)
    counts = [named[each] for each in MANY[5:]]
    assert 6 < min(counts) and max(counts) < 55


def test_one_link_changes_one_name_at_most() -> None:
    owner = MANY[0]
    before = set(chosen_links(owner, others(owner), ()))
    for gone in MANY[1:60]:
        after = set(chosen_links(owner, [each for each in others(owner) if each != gone], ()))
        assert len(before - after) == (1 if gone in before else 0)
    # and who comes back is named again by whoever named it
    assert set(chosen_links(owner, others(owner), ())) == before

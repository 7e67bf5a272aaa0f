"""Which of its links a broker's record names, where it has more than a record holds."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from functools import lru_cache

from relay.core import ids
from relay.core.ids import BrokerId
from relay.core.records import MAX_LINKED

ALWAYS_ON_PLACES = MAX_LINKED // 2
_DOMAIN = b"relay-named-link/1"


def chosen_links(owner: BrokerId, linked: Collection[BrokerId], always_on: Iterable[BrokerId]) -> tuple[BrokerId, ...]:
    """The links to name: all, or 32 of them, chosen for this owner by rendezvous hashing.

    Every owner ranks the others in an order of its own, so that where all are linked with all, each is named by about
    32 others; and a link that comes or goes changes one name at most. Up to half of the places are for members that
    are always on: over those the owner is reached. The others are for whom else would be named by few.

    Args:
        owner: whose record.
        linked: with whom it is linked.
        always_on: members that hold for others.

    Returns:
        In the order of their ids.
    """
    if len(linked) <= MAX_LINKED:
        return tuple(sorted(linked))
    return _chosen(owner, frozenset(linked), frozenset(always_on))


# asked for again and again while nothing changes; a simulated workspace asks for many owners
@lru_cache(64)
def _chosen(owner: BrokerId, linked: frozenset[BrokerId], hubs: frozenset[BrokerId]) -> tuple[BrokerId, ...]:
    start = hashlib.sha256(_DOMAIN + ids.to_digest(owner))
    ranked = sorted(linked, key=lambda peer: _rank(start, peer))
    first = [peer for peer in ranked if peer in hubs][:ALWAYS_ON_PLACES]
    taken = set(first)
    rest = sorted((peer for peer in ranked if peer not in taken), key=hubs.__contains__)
    return tuple(sorted([*first, *rest][:MAX_LINKED]))


def _rank(start: hashlib._Hash, peer: BrokerId) -> bytes:
    digest = start.copy()
    digest.update(ids.to_digest(peer))
    return digest.digest()

"""The ways to others as they are now: who carries what for whom, and what is handed over once more."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from relay.broker.link import Link
from relay.core.hello import Role
from relay.core.ids import BrokerId
from relay.core.routing import Neighbour, choose

MOST_TRIED = 16
Tried = dict[BrokerId, list[BrokerId]]
"""By recipient, the holders tried in vain, the last one last."""


class Router:
    """Chooses the way to each broker.

    Args:
        links: the links that are up, by peer.
        reached_by: the brokers that say they are linked with a broker.
    """

    def __init__(
        self, links: Callable[[], Mapping[BrokerId, Link]], reached_by: Callable[[BrokerId], Collection[BrokerId]]
    ) -> None:
        self._links = links
        self._reached_by = reached_by
        self._tried: Tried = {}
        self._silent: Tried = {}

    def way(self, recipient: BrokerId, present: BrokerId | None = None) -> BrokerId | None:
        """The linked broker that what is for `recipient` goes to: itself, or a holder; None where there is none.

        Args:
            present: the one it goes to now.
        """
        return self._chosen(recipient, present, self._tried)

    def live_way(self, recipient: BrokerId, present: BrokerId | None = None) -> BrokerId | None:
        """As `way`, for what is live: who keeps envelopes well may still hand nothing on, and the other way round."""
        return self._chosen(recipient, present, self._silent)

    def _chosen(self, recipient: BrokerId, present: BrokerId | None, tried: Tried) -> BrokerId | None:
        links = self._links()
        direct = links.get(recipient)
        if direct is not None and direct.is_up:
            tried.pop(recipient, None)
            return recipient
        reaching = self._reached_by(recipient)
        neighbours = [_neighbour(link, reaching) for link in list(links.values()) if link.is_up]
        return choose(neighbours, tried.get(recipient, ()), present)

    def avoid(self, recipient: BrokerId, holder: BrokerId) -> None:
        """Take another way to a broker than by this holder, where there is one, until a direct link was up."""
        _note(self._tried, recipient, holder)

    def avoid_live(self, recipient: BrokerId, holder: BrokerId) -> None:
        """As `avoid`, for what is live."""
        _note(self._silent, recipient, holder)


def _note(tried: Tried, recipient: BrokerId, holder: BrokerId) -> None:
    others = [each for each in tried.get(recipient, ()) if each != holder]
    tried[recipient] = [*others, holder][-MOST_TRIED:]


def _neighbour(link: Link, reaching: Collection[BrokerId]) -> Neighbour:
    holds = link.greeted is not None and link.greeted.hello.role is Role.HOLDER
    return Neighbour(link.peer, holds, link.peer in reaching, link.rtt_ms)

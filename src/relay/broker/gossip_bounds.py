"""How much of gossip is taken from whom: what a peer asks and sends, and how often a member says something new.

A peer answers for its own steps and its own records alone: who goes on beyond those bounds loses its link. What it
passes on of others is passed over beyond theirs, and is never held against it: it may be as honest as this broker.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from relay.core import ids
from relay.core.allowance import Allowance
from relay.core.ids import BrokerId

MAX_STRIKES = 8
AT_ONCE = 256  # and four for each member: twice a whole book each way
PER_S = 8.0
PER_S_EACH = 0.05
NEWS_AT_ONCE = 8
NEWS_PER_S = 0.2  # links that come and go make a record in five seconds at most (`own_record`)
_log = logging.getLogger(__name__)


class Bounds:
    """Token buckets: two for each linked peer, one for each member that says something.

    Args:
        size: how many members there are.
        monotonic: milliseconds that only grow.
        drop: ends the link to a peer, with the reason.
    """

    def __init__(
        self, size: Callable[[], int], monotonic: Callable[[], int], drop: Callable[[BrokerId, str], None]
    ) -> None:
        self._size = size
        self._monotonic = monotonic
        self._drop = drop
        self._steps: dict[BrokerId, Allowance] = {}
        self._reads: dict[BrokerId, Allowance] = {}
        self._news: dict[BrokerId, Allowance] = {}
        self._step_strikes: dict[BrokerId, int] = {}
        self._news_strikes: dict[BrokerId, int] = {}
        self._said: dict[BrokerId, int] = {}
        self._told: set[BrokerId] = set()

    def forget(self, broker: BrokerId) -> None:
        """It is no member any more."""
        for buckets in (self._steps, self._reads, self._news):
            buckets.pop(broker, None)
        self._told.discard(broker)
        for counts in (self._step_strikes, self._news_strikes, self._said):
            counts.pop(broker, None)

    def may_ask(self, peer: BrokerId, cost: float) -> bool:
        """Whether a step of a peer is answered; the eighth in a row that is not ends its link."""
        allowance, now = self._allowance(self._steps, peer)
        if allowance.spend(cost, now):
            if allowance.left > allowance.most / 2:
                self._step_strikes.pop(peer, None)
            return True
        self._strike(self._step_strikes, peer)
        return False

    def may_send(self, peer: BrokerId) -> bool:
        """Whether one more record that a peer sends is read, whoever signed it."""
        allowance, now = self._allowance(self._reads, peer)
        return allowance.spend(1, now)

    def _allowance(self, of: dict[BrokerId, Allowance], peer: BrokerId) -> tuple[Allowance, int]:
        now, size = self._monotonic(), self._size()
        most, per_s = AT_ONCE + 4.0 * size, PER_S + PER_S_EACH * size
        allowance = of.setdefault(peer, Allowance(most, per_s, now))
        allowance.resize(most, per_s)
        return allowance, now

    def too_much_said(self, peer: BrokerId) -> int:
        """How often a peer has said too much of itself, in all."""
        return self._said.get(peer, 0)

    def may_say(self, owner: BrokerId, peer: BrokerId) -> bool:
        """Whether something new of a member is taken, and passed on.

        Args:
            owner: whose word it is.
            peer: who sent it: only the owner itself is held to account for too many.
        """
        now = self._monotonic()
        allowance = self._news.setdefault(owner, Allowance(NEWS_AT_ONCE, NEWS_PER_S, now))
        if allowance.spend(1, now):
            self._news_strikes.pop(owner, None)
            return True
        if owner == peer:
            self._said[peer] = self._said.get(peer, 0) + 1
            self._strike(self._news_strikes, peer)
        return False

    def _strike(self, strikes: dict[BrokerId, int], peer: BrokerId) -> None:
        strikes[peer] = count = strikes.get(peer, 0) + 1
        if peer not in self._told:
            self._told.add(peer)
            _log.warning("%s sends more peer records than it may; they are passed over", ids.short(peer))
        if count >= MAX_STRIKES:
            strikes.pop(peer)
            self._drop(peer, "refused: too many peer records")

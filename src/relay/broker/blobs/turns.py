"""Who may pull now: a few at once, in turns that go round the peers, so that no peer keeps the others' files away.

A turn lasts as long as nobody else wants it. Where somebody does, whoever has more turns than the other, or brings
less than `LEAST_PACE`, gives way after `TURN_S`. It goes on later from where it was; nothing is fetched twice.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from relay.core.ids import BrokerId

TURN_S = 10.0
LEAST_PACE = 64 * 1024
"""Bytes a second; who brings less waits behind the others, and loses nothing by it where there are none."""


class Turn:
    """One pull's leave to go on. Made by `Turns.of`.

    Args:
        turns: whose.
        peer: from whom is pulled.
        now: monotonic seconds.
    """

    def __init__(self, turns: Turns, peer: BrokerId, now: float) -> None:
        self.peer = peer
        self.gave_way = False
        self._turns = turns
        self._since = now
        self._bytes = 0

    def came(self, size: int) -> None:
        """So many bytes came, and were right."""
        self._bytes += size

    def is_over(self, *, elsewhere: bool) -> bool:
        """Whether it has to end now; looked at from time to time.

        Args:
            elsewhere: the same blob is to be had from somebody else, so that a slow source is not waited for.
        """
        passed = self._turns.clock() - self._since
        if passed < TURN_S:
            return False
        slow = self._bytes < LEAST_PACE * passed
        self._since, self._bytes = self._turns.clock(), 0
        self.gave_way = self._turns.gives_way(self.peer, slow)
        return self.gave_way or (slow and elsewhere)


class Turns:
    """Hands turns out.

    Args:
        at_once: how many pulls go on at once.
        clock: monotonic seconds.
    """

    def __init__(self, at_once: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._at_once = at_once
        self._running: Counter[BrokerId] = Counter()
        self._waiting: dict[BrokerId, deque[asyncio.Future[None]]] = {}
        self._last: dict[BrokerId, int] = {}
        self._given = 0
        self._leaving = 0

    @asynccontextmanager
    async def of(self, peer: BrokerId) -> AsyncIterator[Turn]:
        """Wait for a turn to pull from a peer, and hold it for the length of a block."""
        await self._begin(peer)
        turn = Turn(self, peer, self.clock())
        try:
            yield turn
        finally:
            self._leaving -= turn.gave_way
            self._end(peer)

    def gives_way(self, peer: BrokerId, slow: bool) -> bool:
        """Whether a turn of that peer is to go to somebody who waits; if so, it is counted as going.

        Args:
            slow: it brings too little.
        """
        mine = self._running[peer]
        others = [each for each in self._waiting if each != peer and (slow or self._running[each] < mine)]
        # who has been told to give way may still be on its way out: one that waits needs one turn
        if sum(len(self._waiting[each]) for each in others) <= self._leaving:
            return False
        self._leaving += 1
        return True

    async def _begin(self, peer: BrokerId) -> None:
        if self._running.total() < self._at_once and not self._waiting:
            self._give(peer)
            return
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(peer, deque()).append(waiting)
        try:
            await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled():
                self._end(peer)  # it was given a turn in this very moment
            else:
                self._leave(peer, waiting)
            raise

    def _leave(self, peer: BrokerId, waiting: asyncio.Future[None]) -> None:
        self._waiting[peer].remove(waiting)
        if not self._waiting[peer]:
            del self._waiting[peer]

    def _give(self, peer: BrokerId) -> None:
        self._running[peer] += 1
        self._given += 1
        self._last[peer] = self._given

    def _end(self, peer: BrokerId) -> None:
        self._running[peer] -= 1
        while self._waiting and self._running.total() < self._at_once:
            following = min(self._waiting, key=lambda each: (self._running[each], self._last.get(each, 0)))
            waiting = self._waiting[following][0]
            self._leave(following, waiting)
            self._give(following)
            waiting.set_result(None)

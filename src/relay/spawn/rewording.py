"""Tells origins why what they asked for waits now, once the queue rests: a cause changes by what others do.

While others start and end nothing is told, for the next one of them may change it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from relay.core.ids import BrokerId
from relay.core.states import State
from relay.spawn.ledger import Ledger
from relay.spawn.queue import Queue, is_one_of, paused_queue
from relay.store import queueing
from relay.store.journal import Entry
from relay.store.spawn_rows import BY_ID

RESTS_S = 1.0
MOST_TOLD = 500  # the others see it when they ask
AT_ONCE = 50


class Rewording:
    """Finds what waits for another reason than its origin was told.

    Args:
        own: this broker's id.
        ledger: signs the words.
        queue: knows what each waits for.
        later: commits a decision after this one.
    """

    def __init__(
        self, own: BrokerId, ledger: Ledger, queue: Queue, later: Callable[[Callable[[Entry], None]], None]
    ) -> None:
        self._own = own
        self._ledger = ledger
        self._queue = queue
        self._later = later
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def soon(self, entry: Entry) -> None:
        """Look once nothing has started or ended for a while."""
        entry.then(self._wait)

    def _wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._closed:
            self._timer = asyncio.get_running_loop().call_later(RESTS_S, self._later, self._look)

    def close(self) -> None:
        """Look no more."""
        self._closed = True
        self._wait()

    def _look(self, entry: Entry) -> None:
        self._word(entry, queueing.WAITING_FOR_OTHERS.all(entry.tx, target=self._own, limit=MOST_TOLD))

    def _word(self, entry: Entry, waiting: list[str]) -> None:
        if paused_queue(entry.tx) is not None:
            return  # they were told of that
        occupancy = self._queue.occupancy(entry.tx)
        for row in filter(None, [BY_ID.one(entry.tx, id=spawn) for spawn in waiting[:AT_ONCE]]):
            causes = self._queue.causes(entry, row, occupancy) if row.state is State.WAITING else []
            if causes and not is_one_of(row.reason, causes):  # of two that both hold, one is as true as the other
                self._ledger.reword(entry, row, self._queue.obstacle(entry, row) or causes[0])
        if rest := waiting[AT_ONCE:]:
            entry.then(lambda: self._later(lambda later: self._word(later, rest)))

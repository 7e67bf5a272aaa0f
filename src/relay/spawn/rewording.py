"""Tells origins why what they asked for waits now, once the queue rests: a cause changes by what others do.

While others start and end nothing is told, for the next one of them may change it again. Who has not taken what was
told before, as who sleeps, is told no more until then: what lies there for it would grow with each cause that passes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from relay.core.ids import BrokerId
from relay.core.states import State
from relay.spawn.ledger import Ledger
from relay.spawn.queue import Queue, is_one_of, paused_queue
from relay.store import outbox, queueing
from relay.store.journal import Entry
from relay.store.spawn_rows import BY_ID, SpawnRow

RESTS_S = 1.0
AGAIN_S = 30.0
"""When it is looked again for whom something had not been taken."""
MOST_TOLD = 500  # the others see it when they ask
AT_ONCE = 50


class Rewording:
    """Finds what waits for another reason than its origin was told.

    Args:
        own: this broker's id.
        ledger: signs the words.
        queue: knows what each waits for.
        lack: what a spawn lacks beside the queue, or nothing.
        later: commits a decision after this one.
    """

    def __init__(
        self,
        own: BrokerId,
        ledger: Ledger,
        queue: Queue,
        lack: Callable[[Entry, SpawnRow], str],
        later: Callable[[Callable[[Entry], None]], None],
    ) -> None:
        self._own = own
        self._ledger = ledger
        self._queue = queue
        self._lack = lack
        self._later = later
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def soon(self, entry: Entry) -> None:
        """Look once nothing has started or ended for a while."""
        entry.then(lambda: self._look_in(RESTS_S))

    def _look_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._closed:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._due)

    def _due(self) -> None:
        self._timer = None
        self._later(self._look)

    def _look_again(self) -> None:
        if self._timer is None:
            self._look_in(AGAIN_S)

    def close(self) -> None:
        """Look no more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _look(self, entry: Entry) -> None:
        self._word(entry, queueing.WAITING_FOR_OTHERS.all(entry.tx, target=self._own, limit=MOST_TOLD))

    def _word(self, entry: Entry, waiting: list[str]) -> None:
        if paused_queue(entry.tx) is not None:
            return  # they were told of that
        occupancy = self._queue.occupancy(entry.tx)
        for row in filter(None, [BY_ID.one(entry.tx, id=spawn) for spawn in waiting[:AT_ONCE]]):
            causes = self._queue.causes(entry, row, occupancy) if row.state is State.WAITING else []
            if not causes or self._still_holds(entry, row, causes):
                continue
            if outbox.WORD_UNTAKEN.one(entry.tx, spawn=row.id) is not None:
                entry.then(self._look_again)
            else:
                self._ledger.reword(entry, row, self._queue.obstacle(entry, row) or causes[0])
        if rest := waiting[AT_ONCE:]:
            entry.then(lambda: self._later(lambda later: self._word(later, rest)))

    def _still_holds(self, entry: Entry, row: SpawnRow, causes: list[str]) -> bool:
        # of two that both hold, one is as true as the other
        return is_one_of(row.reason, causes) or row.reason == self._lack(entry, row)

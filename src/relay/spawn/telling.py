"""What is told to a spawn's origin only if nothing overtakes it: that it waits, that it starts.

A word costs both brokers as much as an end does: envelopes sealed and opened, rows written. So a spawn that gets its
turn in a queue that moves says nothing of its waiting: where others have ended meanwhile, it is looked at again after
twice as long, three times at most. A queue that rests is told of after 150 ms, one that moves after 2.25 s.
"""

from __future__ import annotations

import asyncio
import logging

from relay.core.errors import LocalFault
from relay.core.ids import BrokerId
from relay.core.states import State
from relay.spawn.ledger import Ledger
from relay.store.journal import Entry, Journal
from relay.store.spawn_rows import BY_ID, WORDED_LAST, SpawnRow

WITHIN_S = 0.15
LAST_LOOK_S = 8 * WITHIN_S
SURELY_TOLD_MS = 15_000  # before the last word of the earlier run: by then it had told, which takes it 2.25 s
AT_ONCE = 50
_log = logging.getLogger(__name__)


class Telling:
    """Tells origins what was not told at once.

    Args:
        own: this broker's id.
        journal: where it is put into the outbox.
        ledger: knows the latest word.
    """

    def __init__(self, own: BrokerId, journal: Journal, ledger: Ledger) -> None:
        self._own = own
        self._journal = journal
        self._ledger = ledger
        self._untold: dict[str, tuple[tuple[int, int], asyncio.TimerHandle]] = {}
        self._overtaken = 0
        self._work: set[asyncio.Task[None]] = set()
        self._closed = False

    def soon(self, entry: Entry, row: SpawnRow) -> None:
        """Tell the origin in 150 ms, or later where the queue moves, unless a later word has been said by then."""
        if row.origin != self._own:
            entry.then(lambda: self._schedule(row))

    def _schedule(self, row: SpawnRow) -> None:
        self._forget(row.id)
        if not self._closed:
            self._look_in(WITHIN_S, row)

    def _look_in(self, wait: float, row: SpawnRow) -> None:
        due = asyncio.get_running_loop().call_later(wait, self._due, wait, row, self._overtaken)
        self._untold[row.id] = row.order, due

    def _forget(self, spawn: str) -> None:
        if (untold := self._untold.pop(spawn, None)) is not None:
            untold[1].cancel()

    def _due(self, wait: float, row: SpawnRow, overtaken: int) -> None:
        if overtaken != self._overtaken and wait < LAST_LOOK_S:
            self._look_in(2 * wait, row)
            return
        del self._untold[row.id]
        task = asyncio.get_running_loop().create_task(self._tell(row))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _tell(self, row: SpawnRow) -> None:
        try:
            await self._journal.commit(lambda entry: self._ledger.tell_latest(entry, row))
        except LocalFault as fault:
            # the next word implies this one
            _log.warning("the origin of %s was not told that it is %s: %s", row.id, row.state, fault.message)

    def close(self) -> None:
        """Tell nothing any more: the next start tells what waits, and what runs tells of itself."""
        self._closed = True
        for spawn in list(self._untold):
            self._forget(spawn)

    def overtaken(self, spawn: str) -> None:
        """A later word was said, or is about to be."""
        self._overtaken += 1
        self._forget(spawn)

    async def tell_waiting(self) -> None:
        """Tell what an earlier run may have ended before it told: what waited for long it has told."""
        untold = await self._journal.store.all(WORDED_LAST, target=self._own, within=SURELY_TOLD_MS)
        for begin in range(0, len(untold), AT_ONCE):
            some = untold[begin : begin + AT_ONCE]
            try:
                await self._journal.commit(lambda entry, some=some: self._tell_some(entry, some))  # type: ignore[misc]
            except LocalFault as fault:
                _log.warning("the origins of what waits were not told why: %s", fault.message)
                return

    def _tell_some(self, entry: Entry, waiting: list[str]) -> None:
        for row in filter(None, [BY_ID.one(entry.tx, id=spawn) for spawn in waiting]):
            if row.state is State.WAITING:
                self._ledger.tell_latest(entry, row)

"""What is told to a spawn's origin only if nothing overtakes it: that it waits, that it starts."""

from __future__ import annotations

import asyncio
import logging

from relay.core.errors import LocalFault
from relay.core.ids import BrokerId
from relay.spawn.ledger import Ledger
from relay.store import spawns
from relay.store.journal import Entry, Journal
from relay.store.spawn_rows import WAITING_HEADS, SpawnRow

WITHIN_S = 0.15
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
        self._untold: dict[str, tuple[int, int]] = {}
        self._work: set[asyncio.Task[None]] = set()

    def soon(self, entry: Entry, row: SpawnRow) -> None:
        """Tell the origin in 150 ms, unless a later word has been said by then."""
        if row.origin != self._own:
            entry.then(lambda: self._schedule(row))

    def _schedule(self, row: SpawnRow) -> None:
        self._untold[row.id] = row.order
        asyncio.get_running_loop().call_later(WITHIN_S, self._due, row)

    def _due(self, row: SpawnRow) -> None:
        if self._untold.get(row.id) == row.order:
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

    def overtaken(self, spawn: str) -> None:
        """A later word was said, or is about to be."""
        self._untold.pop(spawn, None)

    async def tell_waiting(self) -> None:
        """Tell what waits: an earlier run may have ended before it did."""
        await self._journal.commit(self._tell_waiting)

    def _tell_waiting(self, entry: Entry) -> None:
        for spawn, origin in WAITING_HEADS.all(entry.tx, target=self._own):
            if origin != self._own:
                self._ledger.tell_latest(entry, spawns.require(entry.tx, spawn))

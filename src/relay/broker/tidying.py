"""What is sealed again, and what is forgotten: once at the start and once a minute, in steps that hold nobody up.

Kept whatever happens: a spawn whose envelopes wait in the outbox (its result has not been receipted), a dedupe row
until its envelope has expired on any clock (design, section 5), and the highest expiry that was purged.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

from relay.broker.rationing import Rationing
from relay.broker.reissue import STEP, Reissue
from relay.store import (
    attempts,
    events,
    held,
    inbox,
    invites,
    meta,
    operations,
    refusals,
    schedules,
    spawns,
    steers,
    words,
)
from relay.store.journal import Entry, Journal

SKEW_MS = 10 * 60_000
KEEP_OPERATIONS_MS = 31 * 86_400_000
KEEP_EVENTS = 100_000
SETTLED_MS = 3_600_000  # the earlier words on a spawn are kept so long after its end
MOST_STEPS = 50  # of one kind a minute: a flood is forgotten in some minutes, and the writer stays free meanwhile
FORGOTTEN = "words.forgotten"


class Tidying:
    """Seals again and forgets.

    Args:
        folder: where the attempts' folders are.
        retention_s: how long ended spawns, their logs, and events are kept.
        reissue: seals again.
        rationing: says what it refused.
    """

    def __init__(self, folder: Path, retention_s: float, reissue: Reissue, rationing: Rationing) -> None:
        self._folder = folder
        self._retention_ms = int(retention_s * 1000)
        self._reissue = reissue
        self._rationing = rationing

    async def seal_again(self, journal: Journal) -> None:
        """Seal again what would expire before it is receipted.

        Raises:
            LocalFault: the store cannot be written now.
        """
        while await journal.commit(self._reissue.due) >= STEP:
            pass

    async def forget(self, journal: Journal, *, may_expire: bool) -> None:
        """Forget what is over.

        Args:
            journal: where.
            may_expire: whether the clocks of linked peers let anything be called expired.

        Raises:
            LocalFault: the store cannot be written now.
        """
        if self._rationing.has_refused:
            await journal.commit(self._rationing.write_down)
        await journal.commit(self._small)
        if may_expire:
            await _in_steps(journal, lambda entry: inbox.purge(entry.tx, entry.now - SKEW_MS))
            await journal.commit(self._expired)
            await _in_steps(journal, self._old_words)
            await self._old_spawns(journal)

    def _small(self, entry: Entry) -> None:
        operations.purge(entry.tx, entry.now - KEEP_OPERATIONS_MS)
        events.purge(entry.tx, KEEP_EVENTS)
        steers.purge(entry.tx, entry.now - KEEP_OPERATIONS_MS)
        schedules.purge(entry.tx, entry.now)

    def _expired(self, entry: Entry) -> None:
        held.expire(entry.tx, entry.now - KEEP_OPERATIONS_MS)
        invites.purge(entry.tx, entry.now - SKEW_MS)
        words.purge_tombstones(entry.tx, entry.now - SKEW_MS)
        refusals.purge(entry.tx, entry.now - self._retention_ms)
        events.purge_before(entry.tx, entry.now - self._retention_ms)

    def _old_words(self, entry: Entry) -> int:
        """Of a spawn that has ended a while ago only the last word is kept."""
        since = meta.get_number(entry.tx, FORGOTTEN, -1)
        found = spawns.ended_between(entry.tx, since, entry.now - SETTLED_MS)
        for spawn, ended in found:
            words.forget_older(entry.tx, spawn)
            meta.raise_number(entry.tx, FORGOTTEN, ended)
        return len(found)

    async def _old_spawns(self, journal: Journal) -> None:
        for _ in range(MOST_STEPS):
            folders = await journal.commit(self._purge_spawns)
            if not folders:
                return
            for name in (name for of_one in folders for name in of_one):
                await asyncio.to_thread(shutil.rmtree, self._folder / name, ignore_errors=True)

    def _purge_spawns(self, entry: Entry) -> list[list[str]]:
        gone = spawns.ended_before(entry.tx, entry.now - self._retention_ms)
        folders = [[attempt.folder for attempt in attempts.OF_SPAWN.all(entry.tx, spawn=spawn)] for spawn in gone]
        spawns.forget(entry.tx, gone)
        return folders


async def _in_steps(journal: Journal, step: Callable[[Entry], int]) -> None:
    for _ in range(MOST_STEPS):
        if not await journal.commit(step):
            return

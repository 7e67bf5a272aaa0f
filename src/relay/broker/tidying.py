"""What is sealed again, and what is forgotten: once at the start and once a minute, in steps that hold nobody up.

Kept whatever happens: a spawn whose envelopes wait in the outbox (its result has not been receipted), a dedupe row
until its envelope has expired on any clock (design, section 5), and what was purged last. What is forgotten is what
was over at a time that is believed (`Clocks.note`), whatever the clock shows now.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from relay.broker.rationing import Rationing
from relay.broker.reissue import STEP, Reissue
from relay.core.errors import LocalFault
from relay.core.kinds import Kind
from relay.spawn.taking_away import take_away
from relay.store import (
    answers,
    attempts,
    events,
    held,
    inbox,
    invites,
    meta,
    operations,
    outbox,
    refusals,
    schedules,
    spawns,
    steers,
    tails,
    words,
)
from relay.store.journal import Entry, Journal

SKEW_MS = 10 * 60_000
KEEP_OPERATIONS_MS = 31 * 86_400_000
KEEP_EVENTS = 100_000
SETTLED_MS = 3_600_000  # the earlier words on a spawn are kept so long after its end is known
MOST_STEPS = 50  # of one kind a minute: a flood is forgotten in some minutes, and the writer stays free meanwhile
FORGOTTEN = "words.forgotten"
_log = logging.getLogger(__name__)


class Tidying:
    """Seals again and forgets.

    What has ended is forgotten so long after this machine learnt of it, whatever the clock says that named its end.

    Args:
        folder: where the attempts' folders are.
        retention_s: how long ended spawns, their logs, and events are kept.
        reissue: seals again.
        rationing: says what it refused.
        write_down: keeps what only the earlier words on a spawn tell.
        calls: forgets a step of the calls that ended so long before a time that is believed; how many.
    """

    def __init__(
        self,
        folder: Path,
        retention_s: float,
        reissue: Reissue,
        rationing: Rationing,
        write_down: Callable[[Entry, str], None],
        calls: Callable[[Entry, int, int], int] = lambda entry, until, kept_ms: 0,
    ) -> None:
        self._calls = calls
        self._folder = folder
        self._retention_ms = int(retention_s * 1000)
        self._reissue = reissue
        self._rationing = rationing
        self._write_down = write_down

    async def seal_again(self, journal: Journal) -> None:
        """Seal again what would expire before it is receipted.

        Raises:
            LocalFault: the store cannot be written now.
        """
        while await journal.commit(self._reissue.due) >= STEP:
            pass

    async def forget(self, journal: Journal, until: int | None) -> None:
        """Forget what is over.

        Args:
            journal: where.
            until: a time that is believed, milliseconds: what was over by then goes; None where none is.

        Raises:
            LocalFault: the store cannot be written now.
        """
        if self._rationing.has_refused:
            await journal.commit(self._rationing.write_down)
        self._rationing.note_waiting(await journal.store.all(outbox.WAITING))
        await journal.commit(lambda entry: events.purge(entry.tx, KEEP_EVENTS))
        if until is None:
            return
        await _by_itself(_in_steps(journal, lambda entry: inbox.purge(entry.tx, until - SKEW_MS)))
        await _by_itself(journal.commit(lambda entry: self._expired(entry, until)))
        await _by_itself(_in_steps(journal, lambda entry: self._old_words(entry, until)))
        await _by_itself(_in_steps(journal, lambda entry: self._calls(entry, until, self._retention_ms)))
        await _by_itself(self._old_spawns(journal, until))

    def _expired(self, entry: Entry, until: int) -> None:
        operations.purge(entry.tx, until - KEEP_OPERATIONS_MS)
        answers.purge(entry.tx, until - KEEP_OPERATIONS_MS)
        steers.purge(entry.tx, until - KEEP_OPERATIONS_MS)
        schedules.purge(entry.tx, until)
        outbox.drop_expired(entry.tx, (Kind.BLOB_OFFER, Kind.BLOB_ANSWER), until - SKEW_MS)
        held.expire(entry.tx, until - KEEP_OPERATIONS_MS)
        invites.purge(entry.tx, until - SKEW_MS)
        words.purge_tombstones(entry.tx, until - SKEW_MS)
        refusals.purge(entry.tx, until - self._retention_ms)
        events.purge_before(entry.tx, until - self._retention_ms)

    def _old_words(self, entry: Entry, until: int) -> int:
        """Of a spawn that has ended a while ago only the last word is kept."""
        since = meta.get_number(entry.tx, FORGOTTEN, -1)
        found = spawns.known_ended_between(entry.tx, since, until - SETTLED_MS)
        for spawn, learnt in found:
            self._write_down(entry, spawn)
            words.forget_older(entry.tx, spawn)
            tails.forget_told(entry.tx, spawn)
            meta.raise_number(entry.tx, FORGOTTEN, learnt)
        return len(found)

    async def _old_spawns(self, journal: Journal, until: int) -> None:
        for _ in range(MOST_STEPS):
            folders = await journal.commit(lambda entry: self._purge_spawns(entry, until))
            if not folders:
                return
            for name in (name for of_one in folders for name in of_one):
                await asyncio.to_thread(take_away, self._folder / name, ignore_errors=True)

    def _purge_spawns(self, entry: Entry, until: int) -> list[list[str]]:
        gone = spawns.known_ended_before(entry.tx, until - self._retention_ms)
        folders = [[attempt.folder for attempt in attempts.OF_SPAWN.all(entry.tx, spawn=spawn)] for spawn in gone]
        spawns.forget(entry.tx, gone)
        return folders


async def _by_itself(forgetting: Awaitable[object]) -> None:
    """A defect in it keeps nothing else from being forgotten."""
    try:
        await forgetting
    except LocalFault:
        raise
    except Exception:
        _log.exception("some of what is over was not forgotten")


async def _in_steps(journal: Journal, step: Callable[[Entry], int]) -> None:
    for _ in range(MOST_STEPS):
        if not await journal.commit(step):
            return

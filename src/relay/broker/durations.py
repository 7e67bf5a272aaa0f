"""How long spawns took in each phase: from the words that are kept, and written down before those are forgotten."""

from __future__ import annotations

from relay.core.ids import BrokerId
from relay.core.phases import Run, Said, durations
from relay.core.states import TERMINAL
from relay.store import queueing, tails, words
from relay.store.engine import Store
from relay.store.journal import Entry
from relay.store.queueing import Try
from relay.store.spawn_rows import BY_ID, SpawnRow


class Durations:
    """Tells of phases.

    Args:
        own: this broker: only of what it asked for itself it knows how long that waited to be taken.
        store: rows.
    """

    def __init__(self, own: BrokerId, store: Store) -> None:
        self._own = own
        self._store = store

    async def of(self, row: SpawnRow) -> dict[str, float | None]:
        """Seconds by phase (`queued_s`, ...); None where a phase is not over, or not known."""
        said = await self._store.all(words.SAID, spawn=row.id)
        if row.state in TERMINAL and len(said) <= 1:
            written = await self._store.one(tails.DURATIONS, spawn=row.id)
            if written is not None:
                return written
        return self._made(row, said, await self._store.all(queueing.TRIES, spawn=row.id))

    def write_down(self, entry: Entry, spawn: str) -> None:
        """Keep how long it took: all but the last of the words on it are about to be forgotten."""
        row = BY_ID.one(entry.tx, id=spawn)
        said = words.SAID.all(entry.tx, spawn=spawn)
        if row is not None and len(said) > 1:
            tries = queueing.TRIES.all(entry.tx, spawn=spawn)
            tails.keep_durations(entry.tx, spawn, self._made(row, said, tries))

    def _made(self, row: SpawnRow, said: list[Said], tries: list[Try]) -> dict[str, float | None]:
        taken = row.first_word if row.origin == self._own else None
        queued = None if taken is None else max(0, taken - row.created)
        return durations(queued, said, [*map(_run, tries), Run(row.attempt, row.started, row.ended)])


def _run(tried: Try) -> Run:
    return Run(tried.n, tried.outcome.get("started"), tried.outcome.get("ended"))

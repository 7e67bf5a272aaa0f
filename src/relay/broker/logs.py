"""Transcripts of this machine: from an offset, from the last lines, followed to the end."""

from __future__ import annotations

from collections.abc import AsyncIterator

from relay.broker.attempt_logs import AttemptLogs
from relay.core.log_places import attempt_of, start_of
from relay.core.states import TERMINAL
from relay.spawn.supervisor import Supervisor
from relay.spawn.transcript import Chunk
from relay.store.engine import Store
from relay.store.spawn_rows import BY_ID, SpawnRow


class LocalLogs:
    """Transcripts of this machine.

    Args:
        store: to know when a spawn has ended.
        supervisor: where the files are, and when they grow.
    """

    def __init__(self, store: Store, supervisor: Supervisor) -> None:
        self._store = store
        self._supervisor = supervisor
        self._attempts = AttemptLogs(store, supervisor.log_of)

    async def read(
        self, spawn: str, offset: int = 0, tail: int | None = None, follow: bool = False, since: int | None = None
    ) -> AsyncIterator[list[Chunk]]:
        """Pieces of a spawn's transcript, oldest first, from the present attempt on.

        Args:
            spawn: its id.
            offset: where to begin, from an earlier piece's `next_offset`: a place, which knows its attempt.
            tail: begin with the last so many lines instead.
            follow: go on until the spawn has ended, over its attempts, with a note between them.
            since: begin not long before this moment instead.
        """
        grown = self._supervisor.growth.follow(spawn)
        try:
            while True:
                grown.clear()
                row = await self._store.one(BY_ID, id=spawn)
                if row is None:
                    return
                if since is not None and not offset and tail is None:
                    offset, since = await self._attempts.first_since(row, since), None
                offset = offset or start_of(row.attempt)
                if tail is not None:
                    found, offset = await self._attempts.last_lines(row, tail)
                    found = found or await self._attempts.read(spawn, offset)
                    if follow and not found:
                        found = [_nothing_yet(row, offset, since)]
                    tail = None
                    if not found:
                        continue
                else:
                    found = await self._attempts.read(spawn, offset)
                if found:
                    offset = found[-1].next_offset
                    yield found
                elif (follow or row.attempt > attempt_of(offset)) and (
                    note := await self._attempts.behind(row, offset)
                ) is not None:
                    offset = start_of(attempt_of(offset) + 1)
                    if note:
                        yield note
                elif row.state in TERMINAL or not follow:
                    return
                else:
                    await grown.wait()
        finally:
            self._supervisor.growth.forget(spawn, grown)


def _nothing_yet(row: SpawnRow, place: int, since: int | None) -> Chunk:
    """Where a reader of the last lines stands while there are none: after a break it asks for what is behind that, and
    not for the last lines once more, which would leave out what was written meanwhile.
    """
    return Chunk(place, place, 0, max(row.since, since or 0), b"")

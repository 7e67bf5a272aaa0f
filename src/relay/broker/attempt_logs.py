"""The logs of a spawn's attempts, one after another: where a reader stands, and what stands between two of them.

A reader who follows a task that is tried again is told how the attempt ended and goes on with the next one's log. A
place (`core.log_places`) says where it stands, over any number of broken links.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from relay.broker import log_pieces
from relay.core.log_places import attempt_of, offset_of, start_of
from relay.core.states import NOT_STARTED
from relay.spawn.transcript import Chunk
from relay.store import queueing
from relay.store.engine import Store
from relay.store.spawn_rows import SpawnRow

NOTE = 3
"""The stream of a piece that the task has not written: its data is a line for people."""


class AttemptLogs:
    """Reads the logs of attempts by place. Places stand for offsets in all that is given and returned.

    Args:
        store: how earlier attempts ended.
        log_of: the log of an attempt of a spawn.
    """

    def __init__(self, store: Store, log_of: Callable[[str, int], Path]) -> None:
        self._store = store
        self._log_of = log_of

    async def read(self, spawn: str, place: int) -> list[Chunk]:
        """What stands from a place on in the log of its attempt; none at its end."""
        log = self._log_of(spawn, attempt_of(place))
        found = await asyncio.to_thread(log_pieces.read, log, offset_of(place))
        return moved(found, attempt_of(place))

    async def last_lines(self, row: SpawnRow, lines: int) -> tuple[list[Chunk], int]:
        """The last lines of the present attempt's log, as `log_pieces.last_lines`."""
        log = self._log_of(row.id, row.attempt)
        found, offset = await asyncio.to_thread(log_pieces.last_lines, log, lines)
        return moved(found, row.attempt), start_of(row.attempt) + offset

    async def first_since(self, row: SpawnRow, at_ms: int) -> int:
        """A place before what the present attempt wrote at or after a moment, as `log_pieces.first_since`."""
        log = self._log_of(row.id, row.attempt)
        return start_of(row.attempt) + await asyncio.to_thread(log_pieces.first_since, log, at_ms)

    async def behind(self, row: SpawnRow, place: int) -> list[Chunk] | None:
        """What a reader is told who has all of an attempt's log, or None where that attempt is not over.

        Args:
            row: the spawn, as it stood before that log was read.
            place: the end of the log.

        Returns:
            A `NOTE` on how the attempt ended, which leads to the next one; an empty list where there is nothing to tell
            and `start_of` the next attempt to go on from.
        """
        attempt = attempt_of(place)
        is_over = row.attempt > attempt or (row.attempt == attempt and row.state in NOT_STARTED)
        if not is_over:
            return None
        tries = [each for each in await self._store.all(queueing.TRIES, spawn=row.id) if each.n == attempt]
        if not tries:
            return []
        how, asked = tries[-1].outcome, tries[-1].asked
        following = f"{asked} asked for another" if asked else "another one followed"
        if row.attempt == attempt and row.reason and not asked:
            following = row.reason
        text = f"attempt {attempt}: {how.get('reason') or how.get('state')}; {following}\n"
        ended = how.get("ended")
        at = ended if type(ended) is int else row.since
        return [Chunk(place, start_of(attempt + 1), NOTE, at, text.encode())]


def moved(found: list[Chunk], attempt: int) -> list[Chunk]:
    """Pieces of an attempt's log with places for offsets."""
    by = start_of(attempt)
    if not by:
        return found
    return [replace(each, offset=each.offset + by, next_offset=each.next_offset + by) for each in found]

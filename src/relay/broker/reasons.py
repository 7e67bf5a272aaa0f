"""Why each spawn of this machine waits, as it is at the moment of asking: places in a queue change all the time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Set
from itertools import groupby

from relay.core import queue_words
from relay.core.ids import BrokerId
from relay.core.slots import Occupancy, needs
from relay.core.states import State
from relay.spawn.limits import Limits
from relay.spawn.queue import PAUSED, Queue, ahead_of, local_zone, moment_words, pause_from, standing
from relay.store import meta, queueing
from relay.store.engine import Store
from relay.store.queueing import Head
from relay.store.spawn_rows import SpawnRow

AT_ONCE = 500
FEW = 4  # asked for one by one; more in one pass over the whole queue


class Reasons:
    """Words what waits on this broker.

    Args:
        own: this broker's id.
        store: the queue.
        limits: how many slots there are.
        queue: knows whose grant lets nothing start.
        clock: milliseconds since 1970.
    """

    def __init__(self, own: BrokerId, store: Store, limits: Limits, queue: Queue, clock: Callable[[], int]) -> None:
        self._own = own
        self._store = store
        self._limits = limits
        self._queue = queue
        self._clock = clock

    async def of(self, rows: Iterable[SpawnRow]) -> dict[str, str]:
        """The reasons of those of these rows that wait here, by id; none is asked for where none waits."""
        waiting = {row.id: row for row in rows if row.target == self._own and row.state is State.WAITING}
        if not waiting:
            return {}
        now, zone = self._clock(), local_zone(self._clock())
        assert zone is not None
        whole = pause_from(await self._store.one(meta.VALUE, key=PAUSED))
        if whole is not None:
            return dict.fromkeys(waiting, queue_words.queue_paused(whole["by"], whole["at"], now, zone))
        opened = await self._store.all(queueing.OPEN_HERE, target=self._own)
        before = {spawn: list(found) for spawn, found in groupby(opened, key=lambda each: each.spawn)}
        slots = await self._slots(list(waiting.values()), before.keys(), now)
        return {spawn: await self._one(row, before.get(spawn, []), slots, now) for spawn, row in waiting.items()}

    async def _one(
        self, row: SpawnRow, before: list[queueing.Open], slots: dict[str, str], now: int
    ) -> str:
        if row.paused is not None:
            return queue_words.paused(row.paused_by or "somebody")
        if before:
            return queue_words.after(map(standing, before))
        if row.not_before is not None and row.not_before > now:
            used = await self._store.one(queueing.RETRIES_USED, spawn=row.id) or 0
            return moment_words(row.not_before, used, row.wishes.retries, now)
        return slots.get(row.id) or self._queue.kept_back(row.origin, row.agent) or row.reason

    async def _slots(self, rows: list[SpawnRow], after: Set[str], now: int) -> dict[str, str]:
        """For each that has no slot: which sort, and how many that wait for nothing else are ahead of it."""
        in_hand = await self._store.all(queueing.SORTS_IN_HAND, target=self._own)
        occupancy = Occupancy.of(self._limits.parallel, self._limits.slots, in_hand)
        if len(rows) <= FEW:
            return {row.id: text for row in rows if (text := await self._slot(row, occupancy, now))}
        return await self._all_slots(occupancy, after, now)

    async def _slot(self, row: SpawnRow, occupancy: Occupancy, now: int) -> str:
        sort = None if occupancy.is_full else occupancy.full_sort(row.agent, row.labels)
        if sort is None and not occupancy.is_full:
            return ""
        asked = ahead_of(self._own, row, sort, now, self._queue.used_up)
        ahead = await self._store.one(queueing.AHEAD, **asked) or 0
        return queue_words.no_slot(occupancy, sort, ahead)

    async def _all_slots(self, occupancy: Occupancy, after: Set[str], now: int) -> dict[str, str]:
        ahead, of_origin = Counter[str | None](), Counter[tuple[BrokerId, str | None]]()
        used_up, found = set(self._queue.used_up), {}
        for number, head in enumerate(await self._store.all(queueing.QUEUE, target=self._own)):
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)  # there may be thousands, and others are to be heard meanwhile
            sort = None if occupancy.is_full else occupancy.full_sort(head.agent, head.labels)
            if occupancy.is_full or sort is not None:
                found[head.id] = queue_words.no_slot(occupancy, sort, ahead[sort] + of_origin[head.origin, sort])
            if head.paused is None and (head.not_before or 0) <= now and head.id not in after:
                if head.origin in used_up:  # its grant keeps it: it is ahead of its origin's own alone
                    of_origin.update((head.origin, each) for each in self._sorts(head))
                else:
                    ahead.update(self._sorts(head))
        return found

    def _sorts(self, head: Head) -> list[str | None]:
        return [None, *needs(head.agent, head.labels, self._limits.slots)]

"""Events for any number of subscribers: each gets every event, resumes by number, and cannot hold up the others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from relay.core.states import TERMINAL, State
from relay.store import events
from relay.store.engine import Store
from relay.store.events import Event
from relay.store.spawn_rows import SpawnRow

PAGE = 500
DECISIVE = TERMINAL | {State.NEEDS_INPUT}


class Watch:
    """Waits for the next decisive word on a spawn: its end, or that it needs a person."""

    def __init__(self) -> None:
        self._set = asyncio.Event()
        self._subject: SpawnRow | None = None

    def tell(self, subject: SpawnRow | None) -> None:
        """There is one; None where the hub is closing."""
        self._subject = subject
        self._set.set()

    async def next(self, seconds: float) -> SpawnRow | None:
        """The spawn as that word left it, or None after so many seconds; also for one that came before this call."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._set.wait()
        self._set.clear()
        return self._subject


class Hub:
    """Tells waiters that there is something new; the store's event table holds what it is.

    Args:
        store: where events are read from.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._news: asyncio.Event = asyncio.Event()
        self._watches: dict[str, set[Watch]] = {}
        self._closed = False

    def publish(self, event: Event, subject: SpawnRow | None) -> None:
        """An event was committed.

        Args:
            event: what happened.
            subject: the spawn it is about, as it stands now.
        """
        news, self._news = self._news, asyncio.Event()
        news.set()
        if subject is not None and subject.state in DECISIVE:
            for watch in self._watches.get(subject.id, ()):
                watch.tell(subject)

    def close(self) -> None:
        """End every subscription."""
        self._closed = True
        self._news.set()
        for watches in self._watches.values():
            for watch in watches:
                watch.tell(None)

    async def stream(self, since: int, follow: bool) -> AsyncIterator[Event]:
        """Events after a number, oldest first.

        Args:
            since: the last number the subscriber has seen.
            follow: go on for ever; else end at the newest.
        """
        if await self._are_missed(since):
            highest = await self._store.one(events.HIGHEST) or 0
            yield Event(highest, 0, "reset", {})
            since = highest
        while not self._closed:
            news = self._news
            page = await self._store.all(events.SINCE, seq=since, limit=PAGE)
            if page and page[0].seq > since + 1 and await self._are_missed(since):
                # a subscriber so slow that what it had still to see is no longer kept
                since = await self._store.one(events.HIGHEST) or 0
                yield Event(since, 0, "reset", {})
                continue
            for event in page:
                yield event
                since = event.seq
            if len(page) < PAGE:
                if not follow:
                    return
                await news.wait()

    async def _are_missed(self, since: int) -> bool:
        return since > 0 and bool(await self._store.one(events.ARE_MISSED, seq=since))

    @contextlib.contextmanager
    def watching(self, spawn: str) -> Iterator[Watch]:
        """A watch on one spawn, for as long as the block lasts."""
        watch = Watch()
        self._watches.setdefault(spawn, set()).add(watch)
        try:
            yield watch
        finally:
            watches = self._watches[spawn]
            watches.discard(watch)
            if not watches:
                del self._watches[spawn]

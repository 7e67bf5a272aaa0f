"""Events for any number of subscribers: each gets every event, resumes by number, and cannot hold up the others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TypeVar

from relay.core.states import TERMINAL, State
from relay.store import events
from relay.store.engine import Store
from relay.store.events import Event

T = TypeVar("T")
PAGE = 500
DECISIVE = frozenset({*map(str, TERMINAL), str(State.NEEDS_INPUT), str(State.HELD)})


class Hub:
    """Tells waiters that there is something new; the store's event table holds what it is.

    Args:
        store: where events are read from.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._news: asyncio.Event = asyncio.Event()
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._closed = False

    def publish(self, event: Event) -> None:
        """An event was committed."""
        news, self._news = self._news, asyncio.Event()
        news.set()
        if event.data.get("state") in DECISIVE:
            for watcher in self._watchers.get(str(event.data.get("spawn", "")), ()):
                watcher.set()

    def close(self) -> None:
        """End every subscription."""
        self._closed = True
        self._news.set()
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.set()

    async def stream(self, since: int, follow: bool) -> AsyncIterator[Event]:
        """Events after a number, oldest first.

        Args:
            since: the last number the subscriber has seen.
            follow: go on for ever; else end at the newest.
        """
        if await self._was_purged(since):
            highest = await self._store.one(events.HIGHEST) or 0
            yield Event(highest, 0, "reset", {})
            since = highest
        while not self._closed:
            news = self._news
            page = await self._store.all(events.SINCE, seq=since, limit=PAGE)
            for event in page:
                yield event
                since = event.seq
            if len(page) < PAGE:
                if not follow:
                    return
                await news.wait()

    async def _was_purged(self, since: int) -> bool:
        lowest = await self._store.one(events.LOWEST)
        return lowest is not None and since + 1 < lowest and since > 0

    async def until(self, spawn: str, look: Callable[[], Awaitable[T | None]], seconds: float) -> T | None:
        """What `look` gives once it is not None; asked again when the spawn ends or needs a person.

        Args:
            spawn: its id.
            look: reads what is known now.
            seconds: after these, None.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        with self.watching(spawn) as watcher:
            while True:
                watcher.clear()
                if (found := await look()) is not None or self._closed:
                    return found
                left = deadline - asyncio.get_running_loop().time()
                try:
                    await asyncio.wait_for(watcher.wait(), max(left, 0))
                except TimeoutError:
                    return None

    @contextlib.contextmanager
    def watching(self, spawn: str) -> Iterator[asyncio.Event]:
        """An event that is set when the spawn ends or needs a person."""
        watcher = asyncio.Event()
        self._watchers.setdefault(spawn, set()).add(watcher)
        try:
            yield watcher
        finally:
            watchers = self._watchers[spawn]
            watchers.discard(watcher)
            if not watchers:
                del self._watchers[spawn]

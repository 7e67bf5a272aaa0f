"""Who waits for a transcript to grow, or for the next word on a spawn."""

from __future__ import annotations

import asyncio


class Growth:
    """Events by spawn, for any number of followers."""

    def __init__(self) -> None:
        self._followers: dict[str, set[asyncio.Event]] = {}

    def follow(self, spawn: str) -> asyncio.Event:
        """An event that is set when there is more to read or to know; give it back to `forget`."""
        event = asyncio.Event()
        self._followers.setdefault(spawn, set()).add(event)
        return event

    def forget(self, spawn: str, event: asyncio.Event) -> None:
        """The follower that asked for this event is done."""
        followers = self._followers.get(spawn, set())
        followers.discard(event)
        if not followers:
            self._followers.pop(spawn, None)

    def grew(self, spawn: str) -> None:
        """There is new output, or a new word."""
        for event in self._followers.get(spawn, ()):
            event.set()

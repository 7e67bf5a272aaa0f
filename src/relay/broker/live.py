"""What waits to go over one link and is kept nowhere: bounded, dropped beyond, with a word for who can wait."""

from __future__ import annotations

import asyncio
from collections import deque

from relay.core.frames import MAX_BATCH, MAX_BATCH_BYTES, Batch, Hold, Pass, Said

MAX_LIVE = 2_000
MAX_LIVE_BYTES = 16 << 20
ROOM_LIVE = 64
Wrap = type[Batch] | type[Hold] | type[Pass] | type[Said]


class LiveQueue:
    """Envelopes that are sent once or never."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Wrap, bytes]] = deque()
        self.bytes = 0
        self._room = asyncio.Event()
        self._room.set()

    def add(self, raw: bytes, wrap: Wrap) -> bool:
        """Add one; False, and it is dropped, where too many wait."""
        if len(self._waiting) >= MAX_LIVE or self.bytes + len(raw) > MAX_LIVE_BYTES:
            return False
        self._waiting.append((wrap, raw))
        self.bytes += len(raw)
        if len(self._waiting) >= ROOM_LIVE:
            self._room.clear()
        return True

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting

    def next(self) -> tuple[Wrap, list[bytes]]:
        """The next batch, all of one wrap; empty where nothing waits."""
        wrap: Wrap = self._waiting[0][0] if self._waiting else Batch
        batch: list[bytes] = []
        size = 0
        while self._waiting and len(batch) < MAX_BATCH and self._waiting[0][0] is wrap:
            size += len(self._waiting[0][1])
            if batch and size > MAX_BATCH_BYTES:
                break
            batch.append(self._waiting.popleft()[1])
            self.bytes -= len(batch[-1])
        if len(self._waiting) < ROOM_LIVE // 2:
            self._room.set()
        return wrap, batch

    async def room(self) -> None:
        """Wait until another one would not be one too many."""
        while not self._room.is_set():  # of many that wait the first may have filled it again
            await self._room.wait()

    def over(self) -> None:
        """Nobody need wait any more."""
        self._room.set()

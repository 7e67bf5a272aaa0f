"""A conversation within this broker: what `Channel` is between two."""

from __future__ import annotations

import asyncio
from collections import deque

from relay.broker.carrier import Ends
from relay.broker.channel import WINDOW, AtOnce, Message
from relay.core.errors import RelayError, Unreachable


class End:
    """One of two ends; `other` hears what is sent here."""

    other: End

    def __init__(self) -> None:
        self._incoming: deque[Message] = deque()
        self._news = asyncio.Event()
        self._ended = False
        self._error: RelayError | None = None
        self._is_reading = False
        self.at_once: AtOnce | None = None
        self.ends: Ends | None = None

    async def send(self, message: Message) -> None:
        """Send a message, once there is room for it.

        Raises:
            Unreachable: the other side has closed it.
        """
        while len(self.other._incoming) >= WINDOW and not self._ended:
            await self._wait()
        if self._ended:
            raise Unreachable("the connection has ended", hint="do it again")
        self.other._come(message)

    def send_now(self, message: Message) -> bool:
        """Send a message at once; False, and it is not sent, where there is no room, or it has ended."""
        if self._ended or len(self.other._incoming) >= WINDOW:
            return False
        self.other._come(message)
        return True

    def _come(self, message: Message) -> None:
        at_once = self.at_once if self._is_reading and not self._incoming else None
        if at_once is None or not at_once(message):
            self._incoming.append(message)
            self._news.set()

    async def receive(self) -> Message | None:
        """The next message, None after the last one.

        Raises:
            RelayError: what the other side closed it with.
        """
        self._is_reading = True
        try:
            while not self._incoming and not self._ended:
                await self._wait()
        finally:
            self._is_reading = False
        if self._incoming:
            self.other._news.set()
            return self._incoming.popleft()
        if self._error is not None:
            raise self._error
        return None

    def close(self, error: RelayError | None = None) -> None:
        """End it on both sides; what was sent before can still be received."""
        if not self._ended:
            self._ended = self.other._ended = True
            self.other._error = error
            self._news.set()
            self.other._news.set()

    async def _wait(self) -> None:
        self._news.clear()
        await self._news.wait()


def pair() -> tuple[End, End]:
    """Two ends of one conversation."""
    one, other = End(), End()
    one.other, other.other = other, one
    return one, other

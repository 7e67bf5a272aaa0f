"""Requests that wait at the broker: they leave connections free for what is answered at once.

A client of the broker has 64 connections, and one that waits has its own for up to half a minute. What is asked beyond
the share of those that wait is looked at ever and again instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from relay.api.aclient import MOST_CONNECTIONS

if TYPE_CHECKING:
    from relay.api.routes import Call
    from relay.library.asking import Asking

Answer = TypeVar("Answer")
MOST_WAITING = MOST_CONNECTIONS * 3 // 4
LOOK_S, LOOKS_A_SECOND = 1.0, 20
"""Each is looked at once a second, and all of them together so often."""


class Waits:
    """Shares the connections of one client.

    Args:
        most: how many requests may wait at a time.
    """

    def __init__(self, most: int = MOST_WAITING) -> None:
        self._free = most
        self._looking = 0

    async def begin(self, asking: Asking, request: Callable[[float], Call[Answer]], seconds: float) -> Answer:
        """The answer to a request that does something: after so long at most, and at once where too many wait.

        Args:
            asking: asks.
            request: makes the request, of the seconds for which the broker may wait with its answer.
            seconds: so long at most.

        Raises:
            RelayError: as `Asking.ask`.
        """
        if self._free <= 0:
            return await asking.ask(request(0.0))
        self._free -= 1
        try:
            return await asking.ask(request(seconds))
        finally:
            self._free += 1

    async def look(self, asking: Asking, request: Callable[[float], Call[Answer]], seconds: float) -> Answer:
        """As `begin`, for a request that only looks: where too many wait it is made after a pause.

        Raises:
            RelayError: as `Asking.ask`.
        """
        if self._free <= 0 and seconds > 0:
            self._looking += 1
            try:
                await asyncio.sleep(min(seconds, max(LOOK_S, self._looking / LOOKS_A_SECOND)))
            finally:
                self._looking -= 1
        return await self.begin(asking, request, seconds if self._free > 0 else 0.0)

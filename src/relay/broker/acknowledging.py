"""Acknowledging what is typed: the echo takes it along, or it goes by itself a moment later.

A message of its own would stand in the echo's way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from relay.broker.channel import Message

ECHO_S = 0.05
"""How long an acknowledgement waits for output that takes it along."""


class Acknowledging:
    """What one typist has typed and was not told yet to be taken.

    Args:
        say: sends a message by itself.
    """

    def __init__(self, say: Callable[[Message], None]) -> None:
        self._say = say
        self._typed: int | None = None
        self._timer: asyncio.TimerHandle | None = None

    def soon(self, n: int) -> None:
        """All up to `n` was taken: tell it with the next output."""
        self._typed = n
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(ECHO_S, self._by_itself)

    @property
    def along(self) -> Message:
        """What output says of it; `told` when that is sent."""
        return {} if self._typed is None else {"typed": self._typed}

    def told(self) -> None:
        """It was told."""
        # the timer runs on: one in 50 ms is less than one a key
        self._typed = None

    def _by_itself(self) -> None:
        self._timer = None
        typed, self._typed = self._typed, None
        if typed is not None:
            self._say({"k": "typed", "n": typed, "taken": True})

    def over(self) -> None:
        """Nobody is there to be told."""
        if self._timer is not None:
            self._timer.cancel()

"""How a broker ends: for good, or to begin anew with what has changed (its key, its workspace, its identity kept)."""

from __future__ import annotations

import asyncio

ANSWER_WITHIN_S = 0.05  # what was asked for is answered by then


class End:
    """The end of a broker, from when it is asked for.

    Attributes:
        asked: set once it is to end.
    """

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self._is_changed = False
        self._is_told = False

    def stop(self) -> None:
        """End for good, also where it is about to begin anew: who asks for that waits for it."""
        self._is_told = True
        self.asked.set()

    def start_anew(self) -> None:
        """End once what was asked for is answered, and begin anew."""
        self._is_changed = True
        asyncio.get_running_loop().call_later(ANSWER_WITHIN_S, self.asked.set)

    @property
    def is_for_good(self) -> bool:
        """Whether it does not begin anew."""
        return self._is_told or not self._is_changed

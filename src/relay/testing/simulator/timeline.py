"""Simulated time: what is to happen, in order; one random stream for everything."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any


class Timeline:
    """Events in the order of their moments; those of one moment in the order they were set.

    Args:
        seed: of everything that is random.

    Attributes:
        now: milliseconds since the beginning.
        steps: how many events have happened.
    """

    def __init__(self, seed: int) -> None:
        self.now = 0
        self.steps = 0
        self.random = random.Random(seed)
        self._events: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._set = 0

    def after(self, delay: int, happening: Callable[..., None], *args: Any) -> None:
        """Let something happen so many milliseconds from now."""
        self._set += 1
        heapq.heappush(self._events, (self.now + delay, self._set, happening, args))

    def between(self, least: int, most: int) -> int:
        """A random number of milliseconds."""
        return least + int(self.random.random() * (most - least + 1))

    def chance(self, probability: float) -> bool:
        """Whether a thing of this probability happens."""
        return self.random.random() < probability

    def step(self) -> bool:
        """Let the next event happen; False where there is none."""
        if not self._events:
            return False
        self.now, _, happening, args = heapq.heappop(self._events)
        self.steps += 1
        happening(*args)
        return True

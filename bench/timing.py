"""Repeating something for a bounded count and a bounded time, and what its durations say."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """Durations of one thing, in milliseconds."""

    p50: float
    p99: float
    count: int

    @classmethod
    def of(cls, seconds: list[float]) -> Spread:
        """The spread of these durations, given in seconds."""
        ordered = sorted(seconds)
        at = min(len(ordered) - 1, int(len(ordered) * 0.99))
        return cls(statistics.median(ordered) * 1000, ordered[at] * 1000, len(ordered))

    def __str__(self) -> str:
        return f"{self.p50:.1f} / {self.p99:.1f}"


def repeat(once: Callable[[], object], count: int, within: float, warm_up: int = 3) -> Spread:
    """The durations of `once`.

    Args:
        once: what to time.
        count: how often, at most.
        within: seconds after which no further one is begun.
        warm_up: how many go before, untimed.
    """
    for _ in range(warm_up):
        once()
    taken: list[float] = []
    end = time.monotonic() + within
    while len(taken) < count and (time.monotonic() < end or not taken):
        started = time.perf_counter()
        once()
        taken.append(time.perf_counter() - started)
    return Spread.of(taken)

"""Repeating things for a bounded count and a bounded time, and what their durations say.

What is to be compared is measured in turns, so that a noise on the machine falls on all of it alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

TURNS = 5


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


@dataclass(frozen=True, slots=True)
class Job:
    """Something to be timed.

    Attributes:
        once: does it.
        count: how often, at most.
        within: seconds after which no further one is begun.
        warm_up: how many go before, untimed.
    """

    once: Callable[[], object]
    count: int
    within: float
    warm_up: int = 3

    def turn(self, taken: list[float]) -> None:
        """One of `TURNS` parts of it."""
        end = time.monotonic() + self.within / TURNS
        for at in range(-(-self.count // TURNS)):
            if at and time.monotonic() > end:
                return
            started = time.perf_counter()
            self.once()
            taken.append(time.perf_counter() - started)


def in_turns(*jobs: Job) -> list[Spread]:
    """The durations of each job, all measured in turns."""
    taken: list[list[float]] = [[] for _ in jobs]
    for job in jobs:
        for _ in range(job.warm_up):
            job.once()
    for _ in range(TURNS):
        for job, times in zip(jobs, taken, strict=True):
            job.turn(times)
    return [Spread.of(times) for times in taken]


def medians_in_turns(*rates: Callable[[], float], turns: int = 3) -> list[float]:
    """The median of what each of these gives, all asked in turns."""
    found = [[rate() for rate in rates] for _ in range(turns)]
    return [statistics.median(column) for column in zip(*found, strict=True)]

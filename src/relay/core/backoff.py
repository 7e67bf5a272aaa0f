"""How long to wait before dialling again: doubling, jittered, reset by a link that came up."""

from __future__ import annotations

from dataclasses import dataclass

FIRST = 250
MOST = 30_000


@dataclass(slots=True)
class Backoff:
    """The waits of one dialler, in milliseconds."""

    _next: int = FIRST

    def wait(self, fraction: float) -> int:
        """The next wait.

        Args:
            fraction: a random number in [0, 1); the wait lies between half and all of the present step.
        """
        step, self._next = self._next, min(self._next * 2, MOST)
        return int(step * (0.5 + fraction / 2))

    def reset(self) -> None:
        """A link came up, or the machine woke: start again from the first step."""
        self._next = FIRST

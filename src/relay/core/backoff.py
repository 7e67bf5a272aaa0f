"""How long to wait before dialling again: doubling, jittered, reset by a link that came up."""

from __future__ import annotations

from dataclasses import dataclass

FIRST = 250
MOST = 30_000
CALM = 10_000  # a link that lived for as long was a good one, however it ended
HURRIES = 8
HURRY_EVERY = 5_000


@dataclass(slots=True)
class Backoff:
    """The waits of one dialler, in milliseconds."""

    _next: int = FIRST
    _hurries: float = HURRIES
    _counted: int = 0

    def wait(self, fraction: float) -> int:
        """The next wait.

        Args:
            fraction: a random number in [0, 1); the wait lies between half and all of the present step.
        """
        step, self._next = self._next, min(self._next * 2, MOST)
        return int(step * (0.5 + fraction / 2))

    def may_hurry(self, now: int, lasted: int) -> bool:
        """Whether a link that was lost may be dialled anew without a wait.

        One that had lasted for a while may; of those that ended soon after they came up eight, then one in 5 s. So a
        broker that restarts is linked at once, and one that ends each link as it comes up costs no core.

        Args:
            now: monotonic milliseconds.
            lasted: for how many milliseconds there had been a connection.
        """
        if lasted >= CALM:
            return True
        grown = (now - self._counted) / HURRY_EVERY if self._counted else HURRIES
        self._hurries, self._counted = min(HURRIES, self._hurries + grown), now
        if self._hurries < 1:
            return False
        self._hurries -= 1
        return True

    def reset(self) -> None:
        """A link came up, or the machine woke: start again from the first step."""
        self._next = FIRST

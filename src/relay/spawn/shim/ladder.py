"""How a tree is taken down: ask, tell, kill, give up. Pure: time is an argument, steps are the answer.

    calm --stop--> SOFT --grace--> TERM --1 s--> KILL (again each 0.1 s) --1 s--> GIVE_UP
    calm --main process ended, others live--> linger 1 s --> TERM ... as above
    SOFT --main process ended--> TERM at once ... as above
"""

from __future__ import annotations

LINGER_S = 1.0
"""What a task leaves behind may finish on its own for so long: `cmd > >(tee log)` ends after `cmd` does."""
TERM_S = 1.0
KILL_EVERY_S = 0.1
KILL_FOR_S = 1.0

SOFT = "soft"
TERM = "term"
KILL = "kill"
GIVE_UP = "give up"


class Ladder:
    """The steps still to take, in order of time. All times are seconds of one awake-time clock."""

    def __init__(self) -> None:
        self._steps: list[tuple[float, str]] = []
        self._soft = False
        self._ended = False

    def stop(self, now: float, grace_s: float) -> None:
        """Begin to stop; the second call and a call after the main process's end change nothing."""
        if self._soft or self._ended:
            return
        self._soft = True
        self._steps = [(now, SOFT), *_from_term(now + grace_s)]

    def ended(self, now: float) -> None:
        """The main process is gone while others of its tree live."""
        if self._ended:
            return
        self._ended = True
        if not self._soft:
            self._steps = _from_term(now + LINGER_S)
        elif any(step == TERM for _, step in self._steps):
            self._steps = _from_term(now)

    def due(self, now: float) -> str | None:
        """The next step whose time has come, taken off the plan; None where nothing is due."""
        if self._steps and self._steps[0][0] <= now:
            return self._steps.pop(0)[1]
        return None

    def next_deadline(self) -> float | None:
        """When the next step is due."""
        return self._steps[0][0] if self._steps else None


def _from_term(at: float) -> list[tuple[float, str]]:
    kill = at + TERM_S
    kills = [(kill + again * KILL_EVERY_S, KILL) for again in range(round(KILL_FOR_S / KILL_EVERY_S))]
    return [(at, TERM), *kills, (kill + KILL_FOR_S, GIVE_UP)]

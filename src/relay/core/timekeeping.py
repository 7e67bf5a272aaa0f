"""Whether this machine's wall clock may be believed: by linked peers, else by how far it has moved since it was.

A machine that boots with a dead clock, or whose clock is set wrong, must not forget what it has taken in, nor refuse
what comes. *Agreed* is the last wall time that was believed; without a peer's word it moves with the clock by
`MOST_AT_ONCE_MS` at most, either way, and beyond that only as fast as time passes. A peer's word was about the clock as
it was then: where that has been set since, the word says how wrong it is now.
"""

from __future__ import annotations

from collections.abc import Iterable

from relay.core.values import frozen

MAX_SKEW_MS = 5 * 60_000
MOST_AT_ONCE_MS = 7 * 86_400_000  # a week alone and asleep is usual, a month is a reason to ask somebody
SET_WITHIN_MS = 60_000
"""So long after a boot nothing is called expired: a clock that comes up hours wrong is set right meanwhile."""


@frozen
class Greeting:
    """What a linked peer's hello said of the clocks.

    Attributes:
        at: when it came, by this machine's clock; milliseconds.
        skew: the peer's clock minus this machine's.
    """

    at: int
    skew: int

    def after(self, jump: int) -> Greeting:
        """What it says now, where this machine's clock was set by so many milliseconds since: the peer's was not."""
        return Greeting(self.at, self.skew - jump)

    @property
    def agrees(self) -> bool:
        """Whether the two clocks were close to each other."""
        return abs(self.skew) <= MAX_SKEW_MS


def contradicted(linked: Iterable[Greeting]) -> bool:
    """Whether there are linked peers, and all of them have another time."""
    is_linked = False
    for each in linked:
        if each.agrees:
            return False
        is_linked = True
    return is_linked


def is_believed(now: int, agreed: int | None, linked: Iterable[Greeting]) -> bool:
    """Whether the wall clock may be gone by.

    Args:
        now: what it shows, milliseconds.
        agreed: the last time that was believed; None where none ever was.
        linked: of the peers that are linked now; read no further than the first whose word decides.
    """
    if agreed is None or abs(now - agreed) <= MOST_AT_ONCE_MS:
        return not contradicted(linked)
    return _is_witnessed(now, linked)


def _is_witnessed(now: int, linked: Iterable[Greeting]) -> bool:
    # the clock may have been set since a peer agreed with it
    return any(each.agrees and abs(now - each.at) <= MOST_AT_ONCE_MS for each in linked)


def agreed_now(now: int, agreed: int | None, passed: int, linked: Iterable[Greeting]) -> int | None:
    """The time that is believed from now on; nothing may be forgotten by a later one.

    Args:
        now: what the wall clock shows, milliseconds.
        agreed: what was believed last, or None.
        passed: how long ago that was, by a clock that nobody sets.
        linked: of the peers that are linked now.

    Returns:
        None where linked peers contradict: what was believed stands, and nothing is forgotten meanwhile.
    """
    greetings = list(linked)
    if contradicted(greetings):
        return None
    if agreed is None or _is_witnessed(now, greetings):
        return now
    if now - agreed > MOST_AT_ONCE_MS:
        return agreed + passed
    return max(agreed, now)

"""The clocks of this machine and of its linked peers: whether anything may be called expired, and forgotten."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from relay.core.ids import BrokerId
from relay.core.timekeeping import SET_WITHIN_MS, Greeting, agreed_now, contradicted, is_believed
from relay.store import meta
from relay.store.engine import Store
from relay.store.journal import Entry

AGREED = "clock.agreed"
# that it slept is no jump of a clock; where there is none of that name (macOS), the monotonic one goes on asleep
_GOES_ON_ASLEEP: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def elapsed_ms() -> int:
    """Milliseconds since this machine's boot: they only grow, asleep too, and nobody sets them."""
    return time.clock_gettime_ns(_GOES_ON_ASLEEP) // 1_000_000


class Clocks:
    """Compares them.

    Args:
        is_linked: whether there is a link to a peer now.
        clock: this machine's, milliseconds since 1970.
        elapsed: milliseconds since the boot, that only grow, asleep too.
    """

    def __init__(
        self,
        is_linked: Callable[[BrokerId], bool],
        clock: Callable[[], int],
        elapsed: Callable[[], int] = elapsed_ms,
    ) -> None:
        self._is_linked = is_linked
        self._clock = clock
        self._elapsed = elapsed
        self._greetings: dict[BrokerId, tuple[Greeting, int]] = {}
        self._agreed: int | None = None
        self._noted = elapsed()
        self._parting: frozenset[BrokerId] = frozenset()
        self._parted_until = 0

    async def open(self, store: Store) -> None:
        """Read the time that an earlier run believed last."""
        known = await store.one(meta.VALUE, key=AGREED)
        self._agreed = None if known is None else int(known)
        self._noted = self._elapsed()

    def greeted(self, peer: BrokerId, theirs: int) -> int:
        """A peer's hello told its time (milliseconds); its clock minus this machine's."""
        now = self._clock()
        self._greetings[peer] = Greeting(now, theirs - now), self._elapsed()
        return theirs - now

    def part(self) -> None:
        """The links of now are to be made anew: what their peers said counts until they are, for a minute at most."""
        self._parting = frozenset(peer for peer, _ in self._linked())
        self._parted_until = self._elapsed() + SET_WITHIN_MS

    def _counts(self, peer: BrokerId) -> bool:
        return self._is_linked(peer) or (peer in self._parting and self._elapsed() < self._parted_until)

    def linked(self) -> dict[BrokerId, Greeting]:
        """What the peers that are linked now said, as it stands next to this clock as it is now."""
        return dict(self._linked())

    def _linked(self) -> Iterator[tuple[BrokerId, Greeting]]:
        for peer in self._greetings:
            if self._counts(peer):
                yield peer, self._now(peer)

    def _now(self, peer: BrokerId) -> Greeting:
        greeting, came = self._greetings[peer]
        return greeting.after(self._clock() - self._elapsed() - (greeting.at - came))

    def ahead(self, peer: BrokerId) -> int:
        """The clock of a peer that is linked minus this machine's, milliseconds, by its hello; 0 of any other."""
        return self._now(peer).skew if peer in self._greetings and self._counts(peer) else 0

    def _words(self) -> Iterator[Greeting]:
        return (greeting for _, greeting in self._linked())

    @property
    def are_contradicted(self) -> bool:
        """Whether every linked peer has another time."""
        return contradicted(self._words())

    @property
    def jumped_alone(self) -> str:
        """`later` or `earlier`, where this clock moved further than is believed, and nobody says that it is right.

        Empty where it did not.
        """
        if self._agreed is None or self.are_contradicted or self._is_believed():
            return ""
        return "later" if self._clock() > self._agreed else "earlier"

    def may_expire(self) -> bool:
        """Whether anything may be called expired."""
        return self._elapsed() >= SET_WITHIN_MS and self._is_believed()

    def _is_believed(self) -> bool:
        return is_believed(self._clock(), self._agreed, self._words())

    def has_passed(self, moment: int) -> bool:
        """Whether a moment (milliseconds) is over, by a clock that is believed."""
        return moment <= self._clock() and self.may_expire()

    def note(self, entry: Entry) -> int | None:
        """Keep the time that is believed now.

        Returns:
            Up to when what is over may be forgotten, milliseconds; None where nothing may be.
        """
        elapsed, before = self._elapsed(), meta.get(entry.tx, AGREED)
        if elapsed < SET_WITHIN_MS:
            return None
        known = None if before is None else int(before)
        agreed = agreed_now(entry.now, known, elapsed - self._noted, self.linked().values())
        if agreed is None:
            return None
        meta.put(entry.tx, AGREED, str(agreed))
        entry.then(lambda: self._note(agreed, elapsed))
        return min(agreed, entry.now)

    def _note(self, agreed: int, elapsed: int) -> None:
        self._agreed, self._noted = agreed, elapsed

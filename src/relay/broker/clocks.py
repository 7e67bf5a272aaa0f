"""The clocks of this machine and of its linked peers: whether anything may be called expired, and forgotten."""

from __future__ import annotations

from collections.abc import Callable

from relay.broker.link import monotonic_ms
from relay.core.ids import BrokerId
from relay.core.timekeeping import Greeting, agreed_now, contradicted, is_believed
from relay.store import meta
from relay.store.engine import Store
from relay.store.journal import Entry

AGREED = "clock.agreed"


class Clocks:
    """Compares them.

    Args:
        is_linked: whether there is a link to a peer now.
        clock: this machine's, milliseconds since 1970.
        monotonic: milliseconds that only grow.
    """

    def __init__(
        self,
        is_linked: Callable[[BrokerId], bool],
        clock: Callable[[], int],
        monotonic: Callable[[], int] = monotonic_ms,
    ) -> None:
        self._is_linked = is_linked
        self._clock = clock
        self._monotonic = monotonic
        self._greetings: dict[BrokerId, Greeting] = {}
        self._agreed: int | None = None
        self._noted = monotonic()

    async def open(self, store: Store) -> None:
        """Read the time that an earlier run believed last."""
        known = await store.one(meta.VALUE, key=AGREED)
        self._agreed = None if known is None else int(known)
        self._noted = self._monotonic()

    def greeted(self, peer: BrokerId, theirs: int) -> int:
        """A peer's hello told its time (milliseconds); its clock minus this machine's."""
        now = self._clock()
        self._greetings[peer] = Greeting(now, theirs - now)
        return theirs - now

    def linked(self) -> dict[BrokerId, Greeting]:
        """What the peers that are linked now said."""
        return {peer: each for peer, each in self._greetings.items() if self._is_linked(peer)}

    @property
    def are_contradicted(self) -> bool:
        """Whether every linked peer has another time."""
        return contradicted(self.linked().values())

    @property
    def jumped_alone(self) -> bool:
        """Whether this clock has moved further than is believed, and no linked peer has said that it is right."""
        return not self.are_contradicted and not self.may_expire()

    def may_expire(self) -> bool:
        """Whether anything may be called expired."""
        return is_believed(self._clock(), self._agreed, self.linked().values())

    def note(self, entry: Entry) -> int | None:
        """Keep the time that is believed now.

        Returns:
            Up to when what is over may be forgotten, milliseconds; None where nothing may be.
        """
        mono, before = self._monotonic(), meta.get(entry.tx, AGREED)
        known = None if before is None else int(before)
        agreed = agreed_now(entry.now, known, mono - self._noted, self.linked().values())
        if agreed is None:
            return None
        meta.put(entry.tx, AGREED, str(agreed))
        entry.then(lambda: self._note(agreed, mono))
        return min(agreed, entry.now)

    def _note(self, agreed: int, mono: int) -> None:
        self._agreed, self._noted = agreed, mono

"""This broker's own peer record: made anew when what it says has changed, and every 12 h."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from relay.core import ids
from relay.core.ids import BrokerId
from relay.core.records import (
    MAX_AGENTS,
    MAX_CAPABILITIES,
    MAX_LIFE_MS,
    MAX_SKEW_MS,
    MAX_VERSION,
    RENEW_AFTER_MS,
    Record,
)
from relay.core.values import frozen
from relay.trust.identity import Identity
from relay.trust.records import sign_record

SOON_S = 0.5
LINKS_SETTLE_S = 5.0
LINKS_SETTLE_EACH_S = 0.1  # by member: what a mesh of any size hears a second stays the same


@frozen
class Saying:
    """What this broker has to say of itself; see `Record`."""

    addresses: tuple[str, ...] = ()
    always_on: bool = False
    capabilities: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    version: str = ""
    linked: tuple[BrokerId, ...] = ()


class OwnRecord:
    """Says what there is to say, when it has changed and settled.

    Args:
        identity: signs it.
        incarnation: of this start.
        saying: what holds now.
        publish: holds the new record and tells others.
        clock: milliseconds since 1970.
        size: how many members there are.
    """

    def __init__(
        self,
        identity: Identity,
        incarnation: int,
        saying: Callable[[], Saying],
        publish: Callable[[Record, bytes], None],
        clock: Callable[[], int],
        size: Callable[[], int],
    ) -> None:
        self._identity = identity
        self._incarnation = incarnation
        self._saying = saying
        self._publish = publish
        self._clock = clock
        self._size = size
        self._seq = 0
        self._last: tuple[Saying, int] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def changed(self) -> None:
        """Addresses, agents or settings may have changed: look soon."""
        self._look_in(SOON_S)

    def renew(self) -> None:
        """The machine slept: who heard its goodbye is to hear that it is there, whatever else has changed."""
        self._last = None
        self.changed()

    def links_changed(self) -> None:
        """A link came or went: look once the links have settled."""
        self._look_in(LINKS_SETTLE_S + LINKS_SETTLE_EACH_S * self._size())

    def _look_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            if self._timer.when() <= loop.time() + seconds:
                return
            self._timer.cancel()
        self._timer = loop.call_later(seconds, self._timed)

    def _timed(self) -> None:
        self._timer = None
        self.look()

    def look(self) -> bool:
        """Make a new record where the last one is not true any more, or old; whether there was need."""
        now = self._clock()
        last, made = self._last or (None, 0)
        saying = self._saying()
        # also where the clock was set back: what it said then would count as from the future
        if saying == last and made - MAX_SKEW_MS <= now < made + RENEW_AFTER_MS:
            return False
        self._last = saying, now
        self._seq += 1
        record = self._record(saying, now)
        self._publish(record, sign_record(self._identity, record))
        return True

    def _record(self, saying: Saying, now: int) -> Record:
        return Record(
            public=self._identity.public,
            sealing_public=self._identity.sealing.public,
            incarnation=self._incarnation,
            seq=self._seq,
            created=now,
            expires=now + MAX_LIFE_MS,
            addresses=saying.addresses,
            always_on=saying.always_on,
            capabilities=tuple(filter(ids.is_name, saying.capabilities))[:MAX_CAPABILITIES],
            agents=tuple(filter(ids.is_name, saying.agents))[:MAX_AGENTS],
            version="".join(filter(str.isprintable, saying.version))[:MAX_VERSION],
            linked=saying.linked,
        )

    def close(self) -> None:
        """Say nothing more."""
        if self._timer is not None:
            self._timer.cancel()

"""The rooms around telling a person who is away, put together over one broker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from relay.broker.inbox import Act, Opened
from relay.broker.notify.browsers import Browsers
from relay.broker.notify.channels import Channels
from relay.broker.notify.courier import Courier, Rights
from relay.broker.notify.entrusting import Entrusting
from relay.broker.notify.telling import Telling
from relay.core.kinds import Kind
from relay.core.spawning import SpawnRequest
from relay.store.journal import Entry

if TYPE_CHECKING:
    from relay.broker.rooms import Rooms


class Notify:
    """Tells persons what happens to spawns.

    Args:
        rooms: of the broker; those that take requests and carry envelopes are made already.
    """

    def __init__(self, rooms: Rooms) -> None:
        members, journal, identity = rooms.members, rooms.journal, rooms.keys.identity
        telling = Telling(members, rooms.mesh.is_linked, self.look)
        self._prove = rooms.tasks.prove
        self._entrusting = Entrusting(identity, members, rooms.gate, rooms.auditor, telling)
        entrusting = self._entrusting
        further = tuple(rooms.config.dashboard["push_hosts"])
        self.browsers = Browsers(rooms.home, members, journal, rooms.auditor, entrusting, further)
        rights = Rights(
            members.own,
            rooms.gate,
            entrusting.address_of,
            entrusting.told,
            entrusting.failing,
            rooms.home.push_key,
            self.browsers.is_gone,
            rooms.clocks.may_expire,
        )
        self._courier = Courier(journal, Path(rooms.home.notify), telling, rights)
        self.channels = Channels(members, journal, rooms.auditor, telling, self._entrusting, self._courier)
        journal.beside_events(telling.happened)
        rooms.requests.with_voucher = self._entrusting.with_voucher

    @property
    def acts(self) -> dict[Kind, Act]:
        """Durable kinds."""
        return self._entrusting.acts

    def prove(self, entry: Entry, each: Opened, request: SpawnRequest) -> None:
        """As `Tasks.prove`; and what says who may tell of the spawn is kept."""
        self._prove(entry, each, request)
        self._entrusting.keep_voucher(entry, each, request)

    def look(self) -> None:
        """The clock may have jumped: see what is due."""
        self._courier.look()

    async def found(self) -> list[dict[str, Any]]:
        """What `relay doctor` finds."""
        return await self.channels.findings()

    async def open(self) -> None:
        """Go on with what an earlier run was to tell."""
        await self._courier.open()

    async def close(self) -> None:
        """Stop sending; what is to be told is kept."""
        await self._courier.close()

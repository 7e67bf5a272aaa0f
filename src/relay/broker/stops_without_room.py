"""A stop that comes while the store cannot be written: what it means may be what fills the disk, and is stopped all the
same.

The envelope is not taken in, comes again, and then counts as any other. Nothing else is done without a word on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from relay.broker.inbox import Opened
from relay.broker.members import Members
from relay.core.errors import Code
from relay.core.kinds import Kind
from relay.core.states import IN_HAND
from relay.spawn.supervisor import Supervisor
from relay.store import inbox
from relay.store.engine import Store
from relay.store.faults import UNWRITABLE
from relay.store.spawn_rows import BY_ID


class StopsWithoutRoom:
    """Stops what its origin wants stopped, by the record of its attempt, which has had its room from its beginning.

    Args:
        store: what runs here, and what was taken in before.
        supervisor: stops it.
        members: names.
        clock: milliseconds since 1970.
    """

    def __init__(self, store: Store, supervisor: Supervisor, members: Members, clock: Callable[[], int]) -> None:
        self._store = store
        self._supervisor = supervisor
        self._members = members
        self._clock = clock

    async def came(self, envelopes: Sequence[Opened], code: Code) -> None:
        """These could not be taken in, for this reason."""
        for each in envelopes if code in UNWRITABLE else ():
            if each.kind is Kind.STOP and each.header.expires > self._clock():
                await self._stop(each)

    async def _stop(self, each: Opened) -> None:
        origin = each.header.origin
        if await self._store.one(inbox.DIGEST, origin=origin, id=each.header.id) is not None:
            return  # it was taken in before: what runs since then was asked for after it
        row = await self._store.one(BY_ID, id=str(each.body.content["spawn"]))
        if row is not None and (row.origin, row.target) == (origin, self._members.own) and row.state in IN_HAND:
            await self._supervisor.stop_unwritten(row, self._members.name(origin))

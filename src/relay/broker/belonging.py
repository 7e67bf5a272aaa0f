"""Who belongs, and what ends where a right ends: over the rooms of one broker."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from relay.broker.link import REVOKED
from relay.broker.putting_out import PuttingOut
from relay.broker.roster_orders import RosterOrders
from relay.broker.rotation import Rotation
from relay.core.allowlist import Grant
from relay.core.errors import LocalFault
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.store import outbox
from relay.store.journal import Entry

if TYPE_CHECKING:
    from relay.broker.rooms import Rooms


class Belonging:
    """The rooms of the roster and of grants that end.

    Args:
        rooms: the broker's, those made so far.

    Attributes:
        orders: what a person asks of the roster.
        rotation: the epochs of the workspace.
    """

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        keys = rooms.keys
        self.orders = RosterOrders(
            keys.identity, keys.workspace, rooms.members, rooms.keeper, rooms.journal, rooms.auditor
        )
        trust_file = Path(rooms.home.trust)
        self._putting_out = PuttingOut(
            rooms.members, rooms.keeper, trust_file, rooms.journal, rooms.auditor, self._end_what_is_not_granted
        )
        self._granted: set[BrokerId] = set()
        self._seen: dict[BrokerId, Grant] | None = None
        # who tells of a change while a look has it in hand waits for its end: the links it ends come last
        self._ending = asyncio.Lock()
        self.rotation = Rotation(
            keys.identity,
            keys.workspace,
            Path(rooms.home.workspace_key),
            rooms.members,
            rooms.keeper,
            rooms.journal,
            rooms.auditor,
            rooms.postbox,
            rooms.end.start_anew,
        )
        rooms.mesh.on_former = self.rotation.meet
        rooms.membership.on_gone = self._withdraw_all

    def _withdraw_all(self, entry: Entry, broker: BrokerId) -> None:
        """End what was to be sent to a member that is put out; what may have been sent, only its own word ends."""
        for line in outbox.BY_RECIPIENT.all(entry.tx, recipient=broker):
            if line.kind == Kind.SPAWN and line.spawn is not None:
                self._rooms.requests.withdraw(entry, line.spawn, "its broker being put out of the workspace")
        self._rooms.tools.forget_member(entry, broker)

    async def open(self) -> None:
        """Know who has a grant now, and finish what an earlier run did not come to."""
        self._granted = self._with_grant()
        await self.rotation.open()
        await self._putting_out.open()

    def _with_grant(self) -> set[BrokerId]:
        try:
            return set(self._rooms.grants.in_force())
        except LocalFault:
            return self._granted  # nothing is ended for a file that is broken

    async def grants_changed(self) -> None:
        """trust.toml was edited: what a revoked grant had allowed ends, and the links to who has none any more.

        When this returns they have ended: who is told that a grant is gone finds nothing that still goes by it.
        Whoever is a member still may link again at once; what went over the old link is over.
        """
        async with self._ending:
            before = self._granted
            with self._looking_again_on_fault():
                self._granted, self._seen = self._with_grant(), self._thawed()
                await self._end_what_is_not_granted()
            for broker in before - self._granted:
                self._rooms.mesh.drop(broker, REVOKED)
            await self._rooms.mesh.parted()

    async def look(self) -> None:
        """Notice what a person has written into trust.toml without a word of it, and what grant has expired.

        What is not granted any more ends, and the link to who has lost a verb: what went over it may have been begun
        by that one. A grant that was frozen ends nothing: of two machines of one identity the right one may have asked
        for it. The first look is about what happened while this broker was down.
        """
        await self._rooms.membership.freeze_what_could_not_be()
        async with self._ending:
            await self._look()

    async def _look(self) -> None:
        before, seen = self._seen, self._thawed()
        if seen == before:
            return
        with self._looking_again_on_fault():
            self._granted, self._seen = self._with_grant(), seen
            await self._end_what_is_not_granted()
        if before is None:
            return
        for broker, grant in before.items():
            left = self._seen.get(broker)
            if not set(grant.verbs) <= set(left.verbs if left else ()):
                self._rooms.mesh.drop(broker, REVOKED)
        await self._rooms.supervisor.start_waiting()
        await self._rooms.journal.commit(lambda entry: entry.event("grant.changed", {}))

    @contextlib.contextmanager
    def _looking_again_on_fault(self) -> Iterator[None]:
        """What could not be ended, because the store failed, is found to have changed by the next look as well."""
        granted, seen = self._granted, self._seen
        try:
            yield
        except BaseException:
            self._granted, self._seen = granted, seen
            raise

    def _thawed(self) -> dict[BrokerId, Grant]:
        try:
            found = self._rooms.grants.in_force()
        except LocalFault:
            return self._seen or {}  # nothing is ended for a file that is broken
        return {broker: replace(grant, frozen=False) for broker, grant in found.items()}

    async def _end_what_is_not_granted(self) -> None:
        rooms = self._rooms
        rooms.letters.waiting.grants_changed()
        rooms.live.grants_changed()
        rooms.log_server.grants_changed()
        await rooms.requests.end_what_is_not_granted(rooms.gate.why_ended, rooms.queueing.scheduling.revoked)
        await rooms.blobs.grants_changed()
        await rooms.tools.grants_changed()

    async def close(self) -> None:
        """Finish what is under way."""
        await self.rotation.close()
        await self._putting_out.close()

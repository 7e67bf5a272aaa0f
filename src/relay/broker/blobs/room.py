"""All of blobs behind one door: what the broker puts together, and what other parts of it use as a library."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from relay.broker.auditor import Auditor
from relay.broker.blobs.downloads import Downloads
from relay.broker.blobs.library import Library
from relay.broker.blobs.offers import Offers
from relay.broker.blobs.orders import BlobOrders
from relay.broker.blobs.serving import BlobServer, Say
from relay.broker.blobs.views import BlobViews
from relay.broker.gate import Gate
from relay.broker.inbox import Act, Hear
from relay.broker.members import Members
from relay.core.errors import RelayError
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.values import frozen
from relay.store import blobs
from relay.store.blobs import Blob
from relay.store.journal import Journal

SWEEP_EVERY_S = 60.0
_log = logging.getLogger(__name__)


@frozen
class Terms:
    """What the settings say of blobs.

    Attributes:
        folder: where they are.
        quota: bytes that are kept at most.
        retention: how long what came is kept, milliseconds.
    """

    folder: Path
    quota: int
    retention: int


class Blobs:
    """The room.

    A part that moves files by itself takes one in with `library.take_in`, in whose transaction it lets its recipient
    pull it (`offers.allow`) and tells it so in an envelope of its own. There, in the transaction that takes the
    envelope in, it calls `offers.want`, then awaits `here` and reads with `library.reading` or `library.write_out`.
    What it needs longer than that it keeps with a pin (`store.blobs.pin`).

    Args:
        members: names.
        gate: who may push here.
        auditor: the audit log.
        journal: where rows are kept.
        say: sends what is not durable; False where there is no path now.
        probe: has the link that leads to a broker asked whether it lives.
        has_way: whether there is a path to a broker now.
        terms: of the settings.
        may_expire: whether this clock is believed, so that anything may be called expired.
    """

    def __init__(
        self,
        members: Members,
        gate: Gate,
        auditor: Auditor,
        journal: Journal,
        say: Say,
        probe: Callable[[BrokerId], None],
        has_way: Callable[[BrokerId], bool],
        terms: Terms,
        may_expire: Callable[[], bool],
    ) -> None:
        self._journal = journal
        self._may_expire = may_expire
        self._due = asyncio.Event()
        self.library = Library(journal, terms.folder, terms.quota)
        self.offers = Offers(members, gate, auditor, self.library, terms.retention)
        self.server = BlobServer(
            self.library,
            journal.store,
            say,
            journal.clock,
            lambda peer: gate.require(peer, "view", own=True, now=journal.clock()),
        )
        self.downloads = Downloads(
            self.library, self.offers, journal, members, say, probe, has_way, self._due.set
        )
        views = BlobViews(journal.store, members, self.downloads, self.server)
        self.orders = BlobOrders(members, journal, self.library, self.offers, self.downloads, self.server, views)
        self._swept: asyncio.Task[None] | None = None
        self.offers.connect(self.downloads.start, self._offer_ended)

    @property
    def acts(self) -> dict[Kind, Act]:
        """What durable kinds do here."""
        return self.offers.acts

    @property
    def hears(self) -> dict[Kind, Hear]:
        """What other kinds do here."""
        return self.server.hears | self.downloads.hears

    async def open(self) -> None:
        """Clear up after a crash, go on with what was under way, and sweep from now on."""
        await self.library.open()
        await self.downloads.open()
        self._due.set()
        self._swept = asyncio.get_running_loop().create_task(self._sweep())

    async def close(self) -> None:
        """Stop moving blobs; the next start goes on."""
        if self._swept is not None:
            self._swept.cancel()
        await self.downloads.close()
        await self.server.close()
        await self.library.close()

    async def here(self, address: bytes) -> Blob:
        """Wait until all of a wanted blob is here.

        Raises:
            RelayError: it will not come, and why.
        """
        await self.downloads.over(address)
        return await self.orders.whole(address)

    def link_changed(self, peer: BrokerId, up: bool) -> None:
        """A link came or went."""
        self.downloads.link_changed(peer, up)

    async def grants_changed(self) -> None:
        """trust.toml was edited: what a revoked grant had let in stops coming, and what it had let out going."""
        self.server.grants_changed()
        for address in await self._journal.commit(self.offers.end_what_is_not_granted):
            await self.downloads.cancel(address)
            # another broker may offer the same one
            self.downloads.start(address)
        self._due.set()

    def look_for_the_unneeded(self) -> None:
        """Something may be needed no more: collect it soon."""
        self._due.set()

    def _offer_ended(self, address: bytes, peer: BrokerId) -> None:
        self.server.forget(address, peer)
        self._due.set()

    async def _sweep(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_EVERY_S):
                    await self._due.wait()
            self._due.clear()
            try:
                await self._tidied()
            except RelayError as fault:
                _log.error("tidying blobs was put off: %s %s", fault.message, fault.why)
            except Exception:  # the next round comes all the same
                _log.exception("tidying blobs failed")

    async def _tidied(self) -> None:
        self.server.tidy()
        if self._may_expire():
            now = self._journal.clock()
            await self._journal.store.write(lambda tx: blobs.expire(tx, now))
        await self.library.collect()

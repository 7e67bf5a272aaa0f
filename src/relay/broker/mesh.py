"""The mesh: all links of this broker, one per peer, and what they are told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from relay.broker.carrier import Carrier
from relay.broker.greeting import Greeter
from relay.broker.link import Link, monotonic_ms
from relay.broker.outbox import Outbox
from relay.broker.postbox import SealingPostbox
from relay.core import ids
from relay.core.delivery import Outgoing, Window
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.link import replaces

Take = Callable[[Sequence[bytes]], Any]
_log = logging.getLogger(__name__)


class Mesh:
    """Holds the links; a `Host` to each of them.

    Args:
        greeter: makes and judges hellos.
        outbox: what there is to send.
        postbox: seals what is not durable.
        clock: milliseconds since 1970.
    """

    def __init__(
        self, greeter: Greeter, outbox: Outbox, postbox: SealingPostbox, clock: Callable[[], int]
    ) -> None:
        self._greeter = greeter
        self._outbox = outbox
        self._postbox = postbox
        self._clock = clock
        self._links: dict[BrokerId, Link] = {}
        self._all: set[Link] = set()
        self._letting_go: set[asyncio.Task[None]] = set()
        self._take: Callable[[Sequence[bytes]], Any] = _nobody
        self._on_change: Callable[[Link, bool], None] = lambda link, up: None
        self.closed = False

    def connect(
        self, take: Callable[[Sequence[bytes]], Any], on_change: Callable[[Link, bool], None]
    ) -> None:
        """Say who takes envelopes in, and who hears of links that come and go."""
        self._take = take
        self._on_change = on_change

    # seen from outside

    def link(self, peer: BrokerId) -> Link | None:
        """The link to that peer, where one is up."""
        found = self._links.get(peer)
        return found if found is not None and found.is_up else None

    def is_linked(self, peer: BrokerId) -> bool:
        """Whether a link to that peer is up. Safe to ask from any thread."""
        return self.link(peer) is not None

    @property
    def up(self) -> list[Link]:
        """All links that are up."""
        return [link for link in self._links.values() if link.is_up]

    def say(self, recipient: BrokerId, kind: Kind, content: dict[str, Any]) -> bool:
        """Send what is not durable; False, and it is dropped, where there is no link."""
        link = self.link(recipient)
        if link is None:
            return False
        raw = self._postbox.seal_live(recipient, kind, content, self._clock())
        if raw is not None:
            link.send_live(raw)
        return raw is not None

    async def carry(self, carrier: Carrier) -> None:
        """Run a link over a fresh connection until it ends."""
        link = Link(carrier, self._greeter, self)
        self._all.add(link)
        try:
            if not self.closed:
                await link.run()
        finally:
            self._all.discard(link)
            self._gone(link)
            # beside it: the peer is dialled anew while a dead connection still waits for its last answer
            letting_go = asyncio.get_running_loop().create_task(link.let_go())
            self._letting_go.add(letting_go)
            letting_go.add_done_callback(self._letting_go.discard)

    def _gone(self, link: Link) -> None:
        if self._links.get(link.peer) is link:
            del self._links[link.peer]
            self._outbox.link_lost(link.peer)
            _log.info("link to %s ended: %s", ids.short(link.peer), link.reason)
            self._on_change(link, False)

    def wake(self, peer: BrokerId) -> None:
        """There is something new for that peer."""
        link = self._links.get(peer)
        if link is not None:
            link.wake()

    def receipted(self, peer: BrokerId, envelopes: Sequence[bytes]) -> None:
        """That peer has these envelopes."""
        self._outbox.receipted(peer, envelopes, self._clock())
        link = self._links.get(peer)
        if link is not None:
            link.receipted()

    def refused(self, peer: BrokerId, envelope: bytes) -> None:
        """That peer will not have this envelope."""
        self._outbox.window(peer).receipted([envelope])
        self.wake(peer)

    def drop(self, peer: BrokerId, reason: str) -> None:
        """End the link to a peer."""
        link = self._links.get(peer)
        if link is not None:
            link.close(reason)

    async def close(self, reason: str) -> None:
        """Say goodbye on every link."""
        self.closed = True
        links = list(self._all)
        for link in links:
            link.close(reason)
        await asyncio.gather(*(link.ended.wait() for link in links))
        await asyncio.gather(*self._letting_go)

    # what a link asks

    def settle(self, link: Link) -> bool:
        """Whether a newly greeted link may live; the other one of the pair gives way, or this one."""
        present = self._links.get(link.peer)
        if present is not None and present is not link and not present.ended.is_set():
            if not replaces(present.claim, link.claim, monotonic_ms() - present.machine.opened):
                # that side dials anew: it may have lost the present link without our hearing of it
                present.check_now()
                return False
            present.close("replaced")
            self._outbox.link_lost(link.peer)
        self._links[link.peer] = link
        asyncio.get_running_loop().call_soon(self._on_change, link, True)
        return True

    async def take(self, link: Link, envelopes: Sequence[bytes]) -> None:
        """Take envelopes in that came over a link."""
        await self._take(envelopes)

    def window(self, peer: BrokerId) -> Window:
        """What is on its way to that peer."""
        return self._outbox.window(peer)

    async def refill(self, peer: BrokerId) -> None:
        """Read more of the outbox into the window."""
        await self._outbox.refill(peer)

    async def mark_tried(self, peer: BrokerId, rows: Sequence[Outgoing]) -> list[Outgoing]:
        """Make it durable that these rows may have been sent."""
        return await self._outbox.mark_tried(peer, rows)


async def _nobody(envelopes: Sequence[bytes]) -> None:
    raise RuntimeError("the mesh was not connected")

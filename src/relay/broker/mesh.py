"""The mesh: all links of this broker, one per peer, and what they are told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from relay.broker.carrier import Carrier
from relay.broker.custody import Custody
from relay.broker.former_links import FormerHost
from relay.broker.greeting import Greeter
from relay.broker.host import Load
from relay.broker.link import NO_MEMBER, REPLACED, TWO_MACHINES, Link, monotonic_ms
from relay.broker.outbox import Outbox
from relay.broker.postbox import HELD_TTL, LIVE_TTL, SealingPostbox
from relay.broker.routing import Router
from relay.core import ids
from relay.core.delivery import Window
from relay.core.envelope import unpack_envelope
from relay.core.errors import PeerFault
from relay.core.frames import Batch, Hold, Pass, Taken
from relay.core.ids import BrokerId
from relay.core.kinds import KINDS, Kind
from relay.core.link import replaces
from relay.core.streams import unpack_piece

Take = Callable[[Sequence[bytes], BrokerId], Awaitable[list[bytes]]]
MAX_NOTED = 1_000
_log = logging.getLogger(__name__)


class Mesh:
    """Holds the links; a `Host` to each of them.

    Args:
        greeter: makes and judges hellos.
        postbox: seals what is not durable.
        clock: milliseconds since 1970.
        reached_by: the brokers that say they are linked with a broker.
        believed: those of them that can be believed, for showing; without it, all.
    """

    def __init__(
        self,
        greeter: Greeter,
        postbox: SealingPostbox,
        clock: Callable[[], int],
        reached_by: Callable[[BrokerId], Collection[BrokerId]] = lambda broker: (),
        believed: Callable[[BrokerId], Collection[BrokerId]] | None = None,
    ) -> None:
        self._greeter = greeter
        self._postbox = postbox
        self._clock = clock
        self._links: dict[BrokerId, Link] = {}
        self._all: set[Link] = set()
        self._letting_go: set[asyncio.Task[None]] = set()
        self._believed = believed or reached_by
        self.router = Router(lambda: self._links, reached_by)
        self._take: Take = _nobody
        self._outbox: Outbox
        self._custody: Custody
        self._on_change: Callable[[Link, bool], None] = lambda link, up: None
        self._on_clone: Callable[[Link], None] = lambda link: None
        self.on_former: Callable[[Link], None] = lambda link: link.close("this epoch is over")
        self.on_piece: dict[int, Callable[[BrokerId, dict[str, Any]], None]] = {}
        self.closed = False
        self.turned_down: dict[BrokerId, str] = {}

    def connect(
        self,
        outbox: Outbox,
        custody: Custody,
        take: Take,
        on_change: Callable[[Link, bool], None],
        on_clone: Callable[[Link], None] = lambda link: None,
    ) -> None:
        """Say what there is to send, who takes envelopes in, and who hears of links that come and go.

        Args:
            on_clone: hears of a clone that was turned away.
        """
        self._outbox, self._custody = outbox, custody
        self._take = take
        self._on_change = on_change
        self._on_clone = on_clone

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

    def window(self, recipient: BrokerId) -> Window:
        """What is on its way to that broker."""
        return self._outbox.window(recipient)

    def kept_window(self, recipient: BrokerId) -> Window:
        """What this broker keeps for that one, as it is on its way to it."""
        return self._custody.window(recipient)

    def refusal(self, recipient: BrokerId) -> tuple[BrokerId, str] | None:
        """The holder that would not keep what is for that broker, and why; None where none refused."""
        return self._outbox.refusals.get(recipient)

    def reached_by(self, peer: BrokerId) -> BrokerId | None:
        """The linked broker by which one that is not linked with this one is in reach; None where there is none.

        For showing; what is sent takes the way of the router, to which a word that is too old costs time only.
        """
        if self.is_linked(peer):
            return None
        return next((each for each in self._believed(peer) if self.is_linked(each)), None)

    def reaches(self, holder: BrokerId, peer: BrokerId) -> bool:
        """Whether a linked broker has one in reach that is not linked with this one."""
        return self.is_linked(holder) and not self.is_linked(peer) and holder in self._believed(peer)

    def put_out(self) -> None:
        """Somebody was put out of the workspace: nothing from or for them is handed on any longer."""
        self._custody.begin_anew()

    def has_way(self, peer: BrokerId) -> bool:
        """Whether something for that peer can leave now, over its own link or a holder's. Safe from any thread."""
        return self.router.way(peer) is not None

    def way_link(self, peer: BrokerId, present: Link | None = None) -> Link | None:
        """The link that what is live for that peer goes over: its own, or a holder's.

        Args:
            present: the one it goes over now; kept where no other is better.
        """
        way = self.router.live_way(peer, None if present is None else present.peer)
        return None if way is None else self.link(way)

    def stands(self, link: Link) -> bool:
        """Whether that link is up, and no other has taken its place."""
        return self.link(link.peer) is link

    def fell_silent(self, peer: BrokerId, link: Link) -> None:
        """What is live for that peer was not answered over this link: the next takes another, where there is one."""
        if link.peer != peer:
            self.router.avoid_live(peer, link.peer)
        link.ask()

    def say(
        self, recipient: BrokerId, kind: Kind, content: dict[str, Any], giver: BrokerId | None = None
    ) -> bool:
        """Send what is not durable; False, and it is dropped, where there is no way, or no room on it.

        Over a holder's link it is handed on at once, or kept for the recipient where its kind may be.

        Args:
            recipient: whom it is for.
            kind, content: what is said.
            giver: a linked broker that has handed over what this answers: it reaches both.
        """
        return self._said(recipient, kind, content, giver) is not None

    def ask(self, recipient: BrokerId, kind: Kind, content: dict[str, Any]) -> bytes | None:
        """As `say`; the envelope's id, which a refusal names, or None where nothing was sent."""
        raw = self._said(recipient, kind, content, None)
        return None if raw is None else unpack_envelope(raw).header.id

    def _said(self, recipient: BrokerId, kind: Kind, content: dict[str, Any], giver: BrokerId | None) -> bytes | None:
        link = self.link(recipient) or (None if giver is None else self.link(giver)) or self.way_link(recipient)
        return None if link is None else self._said_over(link, recipient, kind, content)

    def say_over(self, link: Link, recipient: BrokerId, kind: Kind, content: dict[str, Any]) -> bool:
        """As `say`, over this link and no other; False where it has ended."""
        return self._said_over(link, recipient, kind, content) is not None

    def _said_over(self, link: Link, recipient: BrokerId, kind: Kind, content: dict[str, Any]) -> bytes | None:
        direct, holdable = link.peer == recipient, KINDS[kind].holdable
        ttl = HELD_TTL if holdable and not direct else LIVE_TTL
        raw = self._postbox.seal_live(recipient, kind, content, self._clock(), ttl)
        if raw is None or not link.send_live(raw, Batch if direct else Hold if holdable else Pass):
            return None
        return raw

    def probe(self, peer: BrokerId, over: Link | None = None) -> None:
        """What is not durable was not answered: as `fell_silent`, of this link, or else of the one that leads there."""
        link = over or self.way_link(peer)
        if link is not None:
            self.fell_silent(peer, link)

    async def carry(self, carrier: Carrier) -> None:
        """Run a link over a fresh connection until it ends."""
        host = FormerHost(self, self.on_former) if carrier.is_former else self
        link = Link(carrier, self._greeter, host)
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
            self._lost(link.peer)
            self._outbox.reroute()
            _log.info("link to %s ended: %s", ids.short(link.peer), link.reason)
            if link.reason.endswith((TWO_MACHINES, NO_MEMBER)):
                self.turned_down[link.peer] = link.reason
            self._on_change(link, False)
        elif link.greeted is None and link.reason and link.peer not in self._links:  # else it is one of two, and over
            if len(self.turned_down) < MAX_NOTED:
                self.turned_down[link.peer] = link.reason

    def _lost(self, peer: BrokerId) -> None:
        self._outbox.link_lost(peer)
        self._custody.link_lost(peer)

    def wake(self, peer: BrokerId) -> None:
        """There is something new for the link to that peer."""
        link = self._links.get(peer)
        if link is not None:
            link.wake()

    def receipted(self, peer: BrokerId, envelopes: Sequence[bytes]) -> None:
        """That peer has these envelopes."""
        self._outbox.receipted(peer, envelopes, self._clock())
        link = self._links.get(peer)
        if link is not None:
            link.receipted()

    def refused(self, peer: BrokerId, envelope: bytes, dead: bool = False) -> None:
        """That peer will not have this envelope; `dead` where it stays in the outbox as a dead letter."""
        self._outbox.refused(peer, envelope, dead)

    def drop(self, peer: BrokerId, reason: str) -> None:
        """End the link to a peer."""
        link = self._links.get(peer)
        if link is not None:
            link.close(reason)

    async def parted(self) -> None:
        """Wait until every link that was told to end has ended."""
        await asyncio.gather(*(link.ended.wait() for link in self._all if link.is_ending))

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
            if link.is_clone:
                # a link that is alive is not given up for a second machine of the same identity
                asyncio.get_running_loop().call_soon(self._on_clone, link)
                present.check_now()
                return False
            if not replaces(present.claim, link.claim, monotonic_ms() - present.machine.opened):
                # that side dials anew: it may have lost the present link without our hearing of it
                present.check_now()
                return False
            present.close(REPLACED)
            self._lost(link.peer)
        self._links[link.peer] = link
        self.turned_down.pop(link.peer, None)
        asyncio.get_running_loop().call_soon(self._came_up, link)
        return True

    def _came_up(self, link: Link) -> None:
        self._outbox.linked(link.peer)
        link.wake()
        self._on_change(link, True)

    async def take(self, peer: BrokerId, envelopes: Sequence[bytes]) -> list[bytes]:
        """Take in what a peer hands over; the ids of those that it kept for this broker, and need keep no longer."""
        return await self._take(envelopes, peer)

    async def keep(self, peer: BrokerId, envelopes: Sequence[bytes]) -> list[tuple[bytes, str]]:
        """Keep a peer's envelopes for others; what became of each."""
        return await self._custody.keep(peer, envelopes)

    def pass_on(self, peer: BrokerId, envelopes: Sequence[bytes]) -> None:
        """Hand a peer's envelopes for others on, over their own links or not at all.

        Whether one has come too late is its recipient's to say: this clock may be wrong.

        Raises:
            PeerFault: one of them is malformed, or not the peer's own.
        """
        for raw in envelopes:
            header = self._custody.verified(peer, raw).header
            if header.kind not in Kind._value2member_map_:
                continue  # of a later version, which this one cannot know to be live; its sender waits for no answer
            if KINDS[Kind(header.kind)].holdable:
                raise PeerFault("an envelope was not handed on", why="its kind is one that is kept")
            link = self.link(header.recipient)
            if link is not None:
                link.pass_on(raw)

    def hear(self, peer: BrokerId, pieces: Sequence[bytes]) -> None:
        """Give pieces of channels with that peer to them.

        Raises:
            PeerFault: one of them is malformed.
        """
        for family, content in map(unpack_piece, pieces):
            if family in self.on_piece:
                self.on_piece[family](peer, content)

    def answered(self, peer: BrokerId, answers: Sequence[tuple[bytes, str]]) -> None:
        """That peer says what became of what it was to keep."""
        self._outbox.answered(peer, answers)

    def forget(self, peer: BrokerId, envelopes: Sequence[bytes]) -> None:
        """That peer needs these kept no longer."""
        self._custody.taken(peer, envelopes)

    def let_go(self, holder: BrokerId, envelopes: Sequence[bytes]) -> None:
        """Tell a holder, where it is linked, that these of this broker's own need be kept no longer."""
        link = self.link(holder)
        if link is not None:
            link.say(Taken(tuple(envelopes)))

    def loads(self, peer: BrokerId) -> list[Load]:
        """What there is to carry over the link to that peer."""
        return [*self._outbox.loads(peer), *self._custody.loads(peer)]


async def _nobody(envelopes: Sequence[bytes], peer: BrokerId) -> list[bytes]:
    raise RuntimeError("the mesh was not connected")

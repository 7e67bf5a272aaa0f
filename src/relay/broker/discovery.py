"""Finding members: peer records, the local network, the tailnet, and what a change of this machine's network asks."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from relay.api.config import Config
from relay.broker.addresses import told
from relay.broker.gossip import Gossip, Surroundings
from relay.broker.inbox import Hear
from relay.broker.link import Link, monotonic_ms
from relay.broker.mdns import HINT_LIFE_MS, LocalNetwork
from relay.broker.members import Members
from relay.broker.mesh import Mesh
from relay.broker.network_change import NetworkChange
from relay.broker.own_record import OwnRecord, Saying
from relay.broker.places import LINK_LIFE_MS, Hint, Places, Source, is_own
from relay.broker.tailnet import TailnetPlaces
from relay.core.addresses import is_only_local
from relay.core.errors import LocalFault, PeerFault
from relay.core.hello import MAX_ADDRESSES
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.named_links import chosen_links
from relay.core.record_book import FANOUT, Held
from relay.core.records import MAX_SKEW_MS, Record
from relay.core.roster import Roster
from relay.core.values import frozen
from relay.store import peers, records
from relay.store.engine import Store
from relay.store.query import Tx
from relay.store.records import RecordRow
from relay.trust.identity import Identity
from relay.trust.local_tag import local_tag
from relay.trust.records import verify_record
from relay.trust.workspace import Workspace

COMPARE_EVERY_S = 0.05
TEND_EVERY_S = 60.0
LOOK_AGAIN = 5  # tendings
POKE_AGAIN_MS = 5_000
_log = logging.getLogger(__name__)


@frozen
class Around:
    """The broker that finds and is found.

    Attributes:
        identity, workspace, incarnation, version: what it is.
        config: how it runs.
        members, mesh, store: its rooms.
        listening: where it listens.
        agents: what it can run.
        reroute: what is known of who is linked with whom has changed.
        poke: dial this member at once; None for everybody.
        wake: ask every link whether the other side lives.
        behind: told of a later start of this very broker that somebody has seen.
        may_expire: whether this clock is believed, so that anything may be called expired.
        clock: milliseconds since 1970.
    """

    identity: Identity
    workspace: Workspace
    incarnation: int
    version: str
    config: Config
    members: Members
    mesh: Mesh
    store: Store
    listening: Callable[[], Iterable[str]]
    agents: Callable[[], list[str]]
    reroute: Callable[[], None]
    poke: Callable[[BrokerId | None], None]
    wake: Callable[[], None]
    behind: Callable[[int], None]
    may_expire: Callable[[], bool]
    clock: Callable[[], int]


class Discovery:
    """All that finds members. Made by the assembly, begun by `start`, ended by `close`."""

    def __init__(self, around: Around) -> None:
        self._around = around
        self._poked: dict[BrokerId, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting = asyncio.Event()
        self.gossip = self._gossip()
        self.book = self.gossip.book
        self.own = OwnRecord(
            around.identity, around.incarnation, self._saying, self._publish, around.clock, self._size
        )
        self.places = Places(around.config.peers, around.members.names, self._is_own)
        self.tailnet = TailnetPlaces(
            self.places, lambda: around.members.others, self._ports, self._poke, around.clock
        )
        self.network = NetworkChange(self.network_changed)
        self.local = LocalNetwork(
            around.identity.id,
            lambda broker: local_tag(around.workspace, broker),
            lambda: around.members.roster.members,
            self.told,
            self._found_here,
            around.config.mdns_interfaces,
        )

    def _gossip(self) -> Gossip:
        around = self._around
        surroundings = Surroundings(
            own=around.identity.id,
            read=lambda raw: verify_record(raw, around.members.keys),
            say=around.mesh.say,
            linked=self._linked,
            drop=around.mesh.drop,
            keep=self._keep,
            news=self._news,
            size=self._size,
            behind=around.behind,
        )
        gossip = Gossip(surroundings, around.clock, monotonic_ms)
        gossip.waiting = self._waiting.set
        return gossip

    @property
    def hears(self) -> dict[Kind, Hear]:
        """By kind."""
        return self.gossip.hears

    def _linked(self) -> list[BrokerId]:
        return [link.peer for link in self._around.mesh.up]

    def _size(self) -> int:
        return len(self._around.members.roster.members)

    # beginning and ending

    async def load(self) -> None:
        """Take in what was kept over a restart."""
        around = self._around
        around.members.aliases = dict(await around.store.all(records.ALIASES))
        rows = await around.store.all(records.ALL)
        verified = await asyncio.to_thread(self._verified, rows)
        self.gossip.restore(verified)
        # members that were put out while this broker was down
        for gone in {row.broker for row in rows} - {held.record.id for held in verified}:
            self._lazily(lambda tx, gone=gone: records.forget(tx, gone))  # type: ignore[misc]

    def _verified(self, rows: Sequence[RecordRow]) -> list[Held]:
        found = []
        for row in rows:
            with contextlib.suppress(PeerFault):
                record = verify_record(row.bytes, self._around.members.keys)
                found.append(Held(record, row.bytes, hashlib.sha256(row.bytes).digest(), row.heard))
        return found

    def start(self) -> None:
        """Say what there is to say, and look around from now on."""
        self.own.look()
        self.network.start()
        for work in (self._compare(), self._tend(), self._look_around()):
            self._go(work)

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("work on finding members failed", exc_info=error)

    async def close(self) -> None:
        """Say goodbye to the local network and look no more."""
        self.network.close()
        self.own.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.local.close()

    async def _compare(self) -> None:
        while True:
            await self._waiting.wait()
            if not self.gossip.compare_next():
                self._waiting.clear()
            await asyncio.sleep(COMPARE_EVERY_S)

    async def _tend(self) -> None:
        for round_ in range(1, 2**63):
            await asyncio.sleep(TEND_EVERY_S)
            try:
                self._look_after(round_)
            except Exception:  # else its own record would be over some day
                _log.exception("what is known of members was not looked after")

    def _look_after(self, round_: int) -> None:
        self.own.look()
        if round_ % LOOK_AGAIN == 0:
            self.gossip.compare_with_some()
            self._go(self._ask_tailnet())
        now = self._around.clock() - MAX_SKEW_MS
        if self._around.may_expire() and self.book.expire(now):
            self._lazily(lambda tx: records.purge(tx, now))

    def said(self, broker: BrokerId) -> Record | None:
        """What a member last said of itself."""
        held = self.book.get(broker)
        return held.record if held is not None else None

    # where members are

    async def addresses(self, peer: BrokerId) -> tuple[str, ...]:
        """Where to dial a member, best first."""
        return tuple(hint.address for hint in await self.hints(peer))

    async def hints(self, peer: BrokerId) -> list[Hint]:
        """The same, each with where it comes from and until when it holds."""
        found = await self._around.store.one(peers.BY_ID, id=peer)
        learnt = (found.last_seen or 0) if found else 0
        expires = learnt + LINK_LIFE_MS if learnt else None
        if found is not None and any(map(is_only_local, found.addresses)):
            self.places.is_known_here(peer)
        stored = [Hint(each, Source.LINK, learnt, expires) for each in found.addresses] if found else []
        return self.places.order(peer, [*stored, *self._recorded(peer)], self._around.clock())

    def _recorded(self, peer: BrokerId) -> list[Hint]:
        held = self.book.get(peer)
        if held is None:
            return []
        return [Hint(each, Source.RECORD, held.heard, held.record.expires) for each in held.record.addresses]

    def _ports(self, peer: BrokerId) -> list[str]:
        held = self.book.get(peer)
        return [each.rpartition(":")[2] for each in held.record.addresses] if held else []

    def _is_own(self, address: str) -> bool:
        return is_own(address, self._around.listening(), self.told())

    # what changes

    def link_changed(self, link: Link, up: bool) -> None:
        """A link came up or ended."""
        if up:
            carrier = link.carrier
            self.places.linked(link.peer, carrier.address, dialled=carrier.dialled, now=self._around.clock())
        self.gossip.link_changed(link.peer, up)
        self.own.links_changed()

    def roster_changed(self, before: Roster, after: Roster) -> None:
        """Members came or went."""
        for gone in set(before.members) - set(after.members):
            self.gossip.forget(gone)
            self.places.forget(gone)
            self._poked.pop(gone, None)
            self._around.members.aliases.pop(gone, None)
        self.local.members_changed()
        self.tailnet.learn()
        # a record of a member that came may have been turned away before its admission was heard of
        self.gossip.compare_with_some(FANOUT)

    def network_changed(self) -> None:
        """This machine's addresses have changed."""
        self._around.wake()
        self._go(self._look_around())

    def woke(self) -> None:
        """The machine slept, or its clock was set: a record may be over, and a goodbye was heard."""
        self.own.renew()
        self.gossip.compare_with_some()

    async def _look_around(self) -> None:
        if self._around.config.mdns:
            await self.local.refresh()
        await self._ask_tailnet()

    async def _ask_tailnet(self) -> None:
        if self._around.config.tailscale:
            await self.tailnet.ask()
            self.own.look()


    def spoke(self, peer: BrokerId) -> int | None:
        """When a member made the newest record of its that is held, milliseconds on its clock; None for none."""
        held = self.book.get(peer)
        return None if held is None else held.record.created

    # what is said

    def told(self) -> tuple[str, ...]:
        """Where others may dial this broker."""
        return told(self._around.listening())

    def _addresses_told(self) -> tuple[str, ...]:
        # loopback last: of use to members on this machine alone
        found = sorted(self.told(), key=is_only_local)
        return tuple(dict.fromkeys([*self.tailnet.told(self._around.listening()), *found]))[:MAX_ADDRESSES]

    def _saying(self) -> Saying:
        around = self._around
        return Saying(
            addresses=self._addresses_told(),
            always_on=around.config.always_on,
            agents=tuple(around.agents()),
            version=around.version,
            linked=chosen_links(around.identity.id, self._linked(), self.book.always_on()),
        )

    def _publish(self, record: Record, raw: bytes) -> None:
        self.gossip.publish(record, raw)

    # what is heard

    def _keep(self, held: Held) -> None:
        record = held.record
        row = RecordRow(record.id, record.incarnation, record.seq, record.expires, held.heard, held.raw)
        self._lazily(lambda tx: records.put(tx, row))

    def _lazily(self, work: Callable[[Tx], object]) -> None:
        with contextlib.suppress(LocalFault):  # the store is closed: this broker ends
            self._around.store.write_lazily(work)

    def _news(self, record: Record, before: Record | None) -> None:
        if before is None or record.addresses != before.addresses or record.incarnation != before.incarnation:
            self._poke(record.id)
        if before is None or record.linked != before.linked:
            self._around.reroute()

    def _found_here(self, peer: BrokerId, addresses: tuple[str, ...]) -> None:
        now = self._around.clock()
        if not addresses:
            self.places.unlearn(peer, Source.MDNS)
        elif self.places.learn(peer, Source.MDNS, addresses, now, now + HINT_LIFE_MS):
            self._poke(peer)

    def _poke(self, peer: BrokerId) -> None:
        now = monotonic_ms()
        if not self._around.mesh.is_linked(peer) and now - self._poked.get(peer, -POKE_AGAIN_MS) >= POKE_AGAIN_MS:
            self._poked[peer] = now
            self._around.poke(peer)

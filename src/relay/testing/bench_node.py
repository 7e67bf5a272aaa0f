"""Brokers of one process without spawns: real keys, store, outbox, links and inbox, and acts that only note.

    async with bench_pair(folder, MemoryNetwork()) as (one, other):
        await one.post(other.id, "an-operation")
        await drained(one)
        assert await other.acted() == ["an-operation"]

Over `MemoryNetwork` for tests of delivery, over `LoopbackTls` for measurements. A node can be closed and opened
again on the same folder, as a restarted broker is.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from relay.broker.carrier import Carrier
from relay.broker.custody import Custody
from relay.broker.dialler import Dialler
from relay.broker.greeting import Greeter, fresh_incarnation
from relay.broker.handing import Handing
from relay.broker.inbox import Act, Hear, Inbox, Opened
from relay.broker.link import Link
from relay.broker.members import Members
from relay.broker.mesh import Mesh
from relay.broker.outbox import Outbox
from relay.broker.postbox import SealingPostbox
from relay.broker.receipts import Receipts
from relay.broker.reissue import Reissue
from relay.broker.requests import Requests
from relay.core.hello import AuditHead
from relay.core.ids import BrokerId
from relay.core.kinds import KINDS, Kind
from relay.core.roster import Roster
from relay.store import events, meta, outbox
from relay.store.engine import Store
from relay.store.journal import Entry, Journal, Letter
from relay.store.outbox import OutboxLine
from relay.testing.bench_ground import Ground, InMemory, LoopbackTls, workspace_of_all
from relay.testing.carrier import MemoryNetwork
from relay.trust.identity import Identity

TTL_MS = 3_600_000
ACTED = "bench.acted"
POSTERS = 64  # callers that share a commit, as in a busy broker
_NO_AUDIT = AuditHead(0, bytes(32))


def wall_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class _NoSpawns:
    """Stands where `Requests` does: a bench node has no spawns that a NACK could end."""

    def refused_by_peer(self, entry: Entry, spawn: str, error: object, never_taken: bool) -> None:
        raise AssertionError("a bench node has no spawns")


def note(entry: Entry, each: Opened) -> None:
    """The act of a bench node: remember, in the same transaction, that it acted."""
    entry.event(ACTED, {"operation": each.body.operation, "from": each.header.origin})


@dataclass(frozen=True, slots=True)
class Place:
    """What makes a node itself, over all its starts.

    Attributes:
        folder: where its store is.
        identity: its keys.
        roster: who belongs.
        ground: how it reaches others.
        always_on: whether it keeps envelopes for others.
    """

    folder: Path
    identity: Identity
    roster: Roster
    ground: Ground
    always_on: bool = False


class BenchNode:
    """One broker. Made by `opened`, ended by `close`.

    Args:
        place: what makes it itself.
        act: what every durable kind does here.

    Attributes:
        ahead_ms: by how much its clock is wrong.
        is_believed: whether it may call anything expired by its clock.
        ups: how often a link came up.
        escaped: what links raised; nothing may be in it, whatever peers do.
        hears: what it does with kinds that are not durable; nothing where none is given.
        on_link: told of each link that came or went.
    """

    def __init__(self, place: Place, act: Act = note) -> None:
        self.place = place
        self.act = act
        self.id = place.identity.id
        self.members = Members(self.id, "bench", place.roster)
        self.ahead_ms = 0
        self.is_believed = True
        self.ups = 0
        self.escaped: list[BaseException] = []
        self.hears: dict[Kind, Hear] = {}
        self.on_link: Callable[[], None] = lambda: None

    def clock(self) -> int:
        """What its clock shows, milliseconds since 1970."""
        return wall_ms() + self.ahead_ms

    async def open(self) -> None:
        """Open the store and the links."""
        identity, members = self.place.identity, self.members
        self.store = await Store.open(self.place.folder / "relay.db")
        incarnation = fresh_incarnation(await self.store.write(meta.raise_incarnation))
        greeter = Greeter(
            identity,
            incarnation,
            members,
            audit_head=lambda: _NO_AUDIT,
            addresses=lambda: (),
            always_on=self.place.always_on,
            clock=self.clock,
        )
        self.postbox = SealingPostbox(identity, members, incarnation.counter, lambda peer: self.mesh.has_way(peer))
        self.journal = Journal(self.store, self.postbox, self.clock)
        self.mesh = Mesh(greeter, self.postbox, self.clock)
        self.outbox = Outbox(self.store, self.mesh.wake, self.mesh.router.way, self.clock)
        mesh, always_on = self.mesh, self.place.always_on
        self.custody = Custody(
            self.store, members, always_on, mesh.is_linked, mesh.wake, self.clock, lambda: self.is_believed
        )
        self.handing = Handing(self.store, self.outbox, mesh.router, mesh.is_linked, mesh.reaches, self.clock)
        self.inbox = self._inbox()
        await self.inbox.poison.open()
        await self._link_up()

    def _inbox(self) -> Inbox:
        acts: dict[Kind, Act] = {kind: self._acts for kind, facts in KINDS.items() if facts.durable}
        hears: dict[Kind, Hear] = {kind: self._hear for kind, facts in KINDS.items() if not facts.durable}
        self.reissue = Reissue(self.postbox, self.mesh.let_go)
        hears |= Receipts(self.mesh, self.journal, cast("Requests", _NoSpawns()), self.reissue).hears
        say = self.mesh.say
        return Inbox(self.place.identity, self.members, self.journal, say, acts, hears, lambda: self.is_believed)

    def _acts(self, entry: Entry, each: Opened) -> None:
        self.act(entry, each)

    def _hear(self, each: Opened) -> None:
        if each.kind in self.hears:
            self.hears[each.kind](each)

    async def _link_up(self) -> None:
        ground, identity = self.place.ground, self.place.identity

        async def dialled(address: str, peer: BrokerId) -> Carrier:
            return await ground.dial(identity, peer)

        self.dialler = Dialler(dialled, self._anywhere, self.mesh.is_linked, self._carry)
        await self.outbox.open()
        await self.custody.open()
        self.mesh.connect(self.outbox, self.custody, self.inbox.take, self._link_changed)
        self.journal.connect(self.outbox.posted, lambda event, subject: None)
        await ground.listen(identity, self._carry)
        self.dialler.use(member.id for member in self.members.others)

    async def _carry(self, carrier: Carrier) -> None:
        try:
            await self.mesh.carry(carrier)
        except Exception as error:
            self.escaped.append(error)
            raise

    async def _anywhere(self, peer: BrokerId) -> Iterable[str]:
        return ("",)

    def _link_changed(self, link: Link, up: bool) -> None:
        self.ups += up
        self.dialler.poke(link.peer)
        self.on_link()

    async def close(self) -> None:
        """End every link and close the store."""
        self.dialler.rest()
        await self.mesh.close("down")
        await self.dialler.close()
        await self.place.ground.leave(self.place.identity)
        await self.store.close()

    async def restart(self) -> None:
        """Close, and open again on the same store."""
        await self.close()
        await self.open()

    # what it is asked

    async def post(self, peer: BrokerId, operation: str, kind: Kind = Kind.STOP, body: object = "") -> bool:
        """Put one durable envelope for a peer into the outbox; when this returns, it is on disk.

        Args:
            operation: what its effect is deduped by.
            kind: a durable kind; its keys are filled in.
            body: goes along, for size.
        """
        content: dict[str, Any] = dict.fromkeys(KINDS[kind].keys, body)
        return await self.journal.commit(lambda entry: entry.post(Letter(peer, kind, content, operation, TTL_MS)))

    async def pour(self, peer: BrokerId, count: int, label: str = "poured", body: object = "") -> list[str]:
        """Post many, as busy callers do: at once from 64 of them. Their operations, in no order."""
        operations = [f"{label}-{at}" for at in range(count)]
        left = iter(operations)

        async def one_after_another() -> None:
            for operation in left:
                await self.post(peer, operation, body=body)

        await asyncio.gather(*(one_after_another() for _ in range(POSTERS)))
        return operations

    async def rows(self) -> list[OutboxLine]:
        """The outbox as it is on disk."""
        return await self.store.all(outbox.ALL, limit=1_000_000)

    async def waiting(self) -> int:
        """How many envelopes are on disk in the outbox."""
        return (await self.store.all(outbox.TOTALS))[0].envelopes

    async def acted(self) -> list[str]:
        """The operations it has acted on, by `note`, in the order of acting."""
        found = await self.store.all(events.SINCE, seq=0, limit=1_000_000)
        return [str(event.data["operation"]) for event in found if event.kind == ACTED]


# several of them


def identities(count: int) -> list[Identity]:
    """Fresh keys."""
    return [Identity.create(os.urandom(32), os.urandom(32)) for _ in range(count)]


@asynccontextmanager
async def bench_mesh(
    folder: Path,
    count: int = 2,
    network: MemoryNetwork | None = None,
    act: Act = note,
    holders: Collection[int] = (),
    apart: Iterable[tuple[int, int]] = (),
) -> AsyncIterator[list[BenchNode]]:
    """Nodes of one workspace, open and dialling each other; all are closed at the end of the block.

    Args:
        folder: where their stores are made.
        count: how many.
        network: between them; None for TLS on loopback.
        act: what every durable kind does.
        holders: which of them are always on.
        apart: which two can reach each other by no network; in memory only.
    """
    keys = identities(count)
    workspace, roster = workspace_of_all(keys)
    ground: Ground = LoopbackTls(workspace) if network is None else InMemory(network)
    nodes = []
    for at, identity in enumerate(keys):
        home = folder / f"bench-{at}"
        home.mkdir()
        nodes.append(BenchNode(Place(home, identity, roster, ground, at in holders), act))
    for a, b in apart:
        assert network is not None
        network.partition(keys[a].id, keys[b].id)
    await asyncio.gather(*(node.open() for node in nodes))
    try:
        yield nodes
    finally:
        await asyncio.gather(*(node.close() for node in nodes))
        if network is not None:
            await network.close()


@asynccontextmanager
async def bench_pair(
    folder: Path, network: MemoryNetwork | None = None, act: Act = note
) -> AsyncIterator[tuple[BenchNode, BenchNode]]:
    """Two nodes, as `bench_mesh` makes them."""
    async with bench_mesh(folder, 2, network, act) as (one, other):
        yield one, other


async def until(holds: Callable[[], Any], within: float = 20.0, what: str = "the condition") -> None:
    """Wait until something holds; `holds` may be a coroutine function.

    Raises:
        TimeoutError: it did not, so many seconds long.
    """
    deadline = time.monotonic() + within
    while True:
        held = holds()
        if await held if asyncio.iscoroutine(held) else held:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not hold within {within:g} s")
        await asyncio.sleep(0.005)


async def drained(*nodes: BenchNode, within: float = 20.0) -> None:
    """Wait until nothing is left in these nodes' outboxes."""
    for node in nodes:
        await until(lambda node=node: _is_empty(node), within, f"an empty outbox of {node.id[:8]}")  # type: ignore[misc]


async def _is_empty(node: BenchNode) -> bool:
    return await node.waiting() == 0


async def linked(*nodes: BenchNode, within: float = 20.0) -> None:
    """Wait until each of these nodes has a link up, and the same one as its peer has: of two dials one gives way."""
    for node in nodes:
        await until(lambda node=node: node.mesh.up and _agrees(node, nodes), within, f"a link of {node.id[:8]}")  # type: ignore[misc]


def _agrees(node: BenchNode, nodes: Iterable[BenchNode]) -> bool:
    pairs = [(node.mesh.link(each.id), each.mesh.link(node.id)) for each in nodes]
    return all(a is b or (a and b and a.carrier.dialled is not b.carrier.dialled) for a, b in pairs)

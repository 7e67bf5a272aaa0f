"""Spawns that spawns ask for: who asks, whether it may, and the signed chain that goes with what it causes.

A program on the control socket belongs to a task where it shows that task's token, or where its process descends from
the task's shim: hiding the token makes nobody a person. What a task asks for carries its own spawn's chain of origin.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from relay.broker.inbox import Opened
from relay.broker.members import Members
from relay.broker.orders import Order
from relay.core.errors import Code, Refused
from relay.core.grants import DEFAULT_DEPTH
from relay.core.ids import BrokerId, is_spawn_id
from relay.core.provenance import KEY, MOST_CAUSED, Link, SignedLink, links_from_content, links_to_content
from relay.core.spawning import SpawnRequest
from relay.core.states import IN_HAND
from relay.core.values import frozen
from relay.core.wire import pack, unpack
from relay.spawn.attempting import Attempting
from relay.store import provenance
from relay.store.engine import Store
from relay.store.journal import Entry
from relay.store.provenance import CAUSED, OF_SPAWN, Provenance
from relay.store.query import Tx
from relay.store.spawn_rows import BY_ID, SpawnRow
from relay.trust.identity import Identity
from relay.trust.provenance import check_chain, sign_link

MAX_LINKS = 8 * 1024


@frozen
class Caller:
    """The task that asks: its spawn, and which attempt at it."""

    spawn: str
    attempt: int


class Tasks:
    """Knows which task asks, and proves what it causes.

    Args:
        identity: signs the links.
        members: names and keys.
        store: the spawns.
        attempting: the attempts that run, and their tokens.
        fork_server: its pid; None while there is none.
    """

    def __init__(
        self,
        identity: Identity,
        members: Members,
        store: Store,
        attempting: Attempting,
        fork_server: Callable[[], int | None],
    ) -> None:
        self._identity = identity
        self._members = members
        self._store = store
        self._attempting = attempting
        self._fork_server = fork_server

    # who asks

    async def caller(self, token: str | None, processes: Collection[int]) -> Caller | None:
        """The task that a program belongs to; None for a person's program.

        Args:
            token: what it showed, `ATTEMPT.SECRET`.
            processes: its pid and those of its ancestors.

        Raises:
            Refused: `task_over`: the attempt has ended, or the token is none.
        """
        inside = {name for name, pid in self._attempting.shims.items() if pid and pid in processes}
        name = next(iter(inside), None)
        if token is not None:
            shown, _, secret = token.partition(".")
            if inside - {shown} or not self._is_attempt(shown) or not self._attempting.is_token(shown, secret):
                raise _over()
            name = shown
        if name is None:
            if self._is_left_over(processes):
                raise _over()
            return None
        spawn, _, attempt = name.partition("-")
        found = Caller(spawn, int(attempt))
        self._require_running(await self._store.one(BY_ID, id=spawn), found)
        return found

    def _is_left_over(self, processes: Collection[int]) -> bool:
        """Whether it belongs to a task that wrote its own end and goes on, or that has killed its shim."""
        above = {self._fork_server(), *self._attempting.outliving.shims.values()} - {None, 0}
        return not above.isdisjoint(processes)

    def _is_attempt(self, name: str) -> bool:
        spawn, _, attempt = name.partition("-")
        return is_spawn_id(spawn) and attempt.isascii() and attempt.isdigit() and len(attempt) < 8

    def _require_running(self, row: SpawnRow | None, caller: Caller) -> SpawnRow:
        if row is None or row.state not in IN_HAND or row.attempt != caller.attempt:
            raise _over()
        return row

    async def has_caused(self, caller: Caller, spawn: str) -> bool:
        """Whether a task's spawn caused that one."""
        found = await self._store.one(OF_SPAWN, spawn=spawn)
        return found is not None and found.parent == caller.spawn

    # at the origin

    async def ordered(self, order: Order, caller: Caller | None) -> Order:
        """The order with its chain of origin, where a task asks.

        Raises:
            Refused: `task_over`, or `too_deep`.
        """
        if caller is None:
            return order
        parent, chain = await self.chain_of(caller)
        by = f"{parent.requested_by} by {parent.name}".strip()[:128]
        return replace(order, request=replace(order.request, chain=chain, requested_by=by))

    async def chain_of(self, caller: Caller, runner: str | None = None) -> tuple[SpawnRow, tuple[BrokerId, ...]]:
        """The spawn of a task that asks, and the chain of origin of what it asks for.

        Args:
            caller: the task.
            runner: the runner of this broker that it calls, if it does: a spawn of that runner goes no deeper by it.

        Raises:
            Refused: `task_over`, or `too_deep`.
        """
        parent = self._require_running(await self._store.one(BY_ID, id=caller.spawn), caller)
        chain = (*parent.chain, parent.origin)
        if len(chain) > DEFAULT_DEPTH and parent.agent != runner:
            why = f"{parent.name} was itself started by a spawn, and the limit is {DEFAULT_DEPTH} deep"
            hint = "start it yourself: relay spawn NAME AGENT TASK --broker BROKER"
            raise Refused("the chain of spawns is too deep", code=Code.TOO_DEEP, why=why, hint=hint)
        return parent, chain

    def parent_of(self, entry: Entry, caller: Caller) -> SpawnRow:
        """The spawn of a task that asks, as it stands in this transaction.

        Raises:
            Refused: `task_over`.
        """
        return self._require_running(BY_ID.one(entry.tx, id=caller.spawn), caller)

    def links_of_child(self, entry: Entry, parent: SpawnRow, child: str, target: BrokerId) -> tuple[SignedLink, ...]:
        """The signed links that prove where a spawn's child comes from: a spawn, or a call."""
        link = Link(parent.id, parent.origin, child, self._members.own, target)
        return (*self._links(entry.tx, parent.id), sign_link(self._identity, link))

    def caused(self, entry: Entry, order: Order, caller: Caller) -> None:
        """Write down, in the transaction that accepts an order, which task caused it.

        Raises:
            Refused: `task_over`, or `too_many`.
        """
        parent = self.parent_of(entry, caller)
        if (CAUSED.one(entry.tx, parent=parent.id) or 0) >= MOST_CAUSED:
            why = f"it has started {MOST_CAUSED} already, which is as many as one spawn may cause"
            hint = "start more yourself: relay spawn NAME AGENT TASK --broker BROKER"
            raise Refused(f"{parent.name} may start no more spawns", code=Code.TOO_MANY, why=why, hint=hint)
        links = self.links_of_child(entry, parent, order.request.id, order.target)
        provenance.keep(entry.tx, Provenance(order.request.id, parent.id, pack(links_to_content(links))))

    def content(self, entry: Entry, request: SpawnRequest) -> dict[str, object]:
        """The body of a spawn's envelope, with the links that prove its chain."""
        content = request.to_content()
        if not request.chain:
            return content
        return content | {KEY: links_to_content(self._links(entry.tx, request.id))}

    def _links(self, tx: Tx, spawn: str) -> tuple[SignedLink, ...]:
        found = OF_SPAWN.one(tx, spawn=spawn)
        return () if found is None else links_from_content(unpack(found.links, MAX_LINKS))

    # at the target

    def prove(self, entry: Entry, each: Opened, request: SpawnRequest) -> None:
        """Keep the links of a request that came, where they prove its chain.

        Raises:
            Refused: `unproved_chain`.
            PeerFault: they have another form.
        """
        links = self.proved(each, request.chain, request.id)
        if links is None:
            return
        parent = f"{each.header.origin}/{request.id}"  # another broker's: nothing here counts what it caused
        provenance.keep(entry.tx, Provenance(request.id, parent, pack(links)))

    def proved(self, each: Opened, chain: tuple[BrokerId, ...], child: str) -> list[list[bytes]] | None:
        """The links that came with a request for a spawn or a call, checked; None for a person's own.

        Raises:
            Refused: `unproved_chain`.
            PeerFault: they have another form.
        """
        links = links_from_content(each.body.content.get(KEY))
        if not chain and not links:
            return None
        check_chain(links, chain, child, each.header.origin, self._members.own, self._key_of)
        return links_to_content(links)

    def _key_of(self, broker: str) -> bytes | None:
        keys = self._members.keys(broker)  # type: ignore[arg-type]
        return None if keys is None else keys.public


def _over() -> Refused:
    why = "what asks is part of a task, and that attempt at it has ended or is another's"
    hint = "start it yourself, outside of the task"
    return Refused("the task that asks is over", code=Code.TASK_OVER, why=why, hint=hint)

"""What is live between a client and a task: attach and forward, here or on the broker that runs it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable

from relay.broker.attaching import AttachServer
from relay.broker.channel import BrokeOff, Conversation, Message
from relay.broker.channels import ATTACH, FORWARD, Channels, Serve, away
from relay.broker.forwarding import ForwardServer
from relay.broker.hub import Hub
from relay.broker.inbox import Hear
from relay.broker.log_words import own_fault
from relay.broker.logs import LocalLogs
from relay.broker.members import Members
from relay.broker.mesh import Mesh
from relay.broker.pipe import pair
from relay.broker.rights import Rights
from relay.core.errors import RelayError
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.states import State
from relay.spawn.supervisor import Supervisor
from relay.store.spawn_rows import SpawnRow

DELIVERY_S = 10.0
RELINK_S = 2.0
"""How long a link that ended just now is waited for: most are made again at once."""
JUST_NOW_S = 10.0
_log = logging.getLogger(__name__)


class LiveRooms:
    """Opens conversations with tasks, wherever they run.

    Args:
        members: who this broker is, and the others' names.
        mesh: carries what is not here.
        supervisor: where this machine's tasks are.
        logs: their transcripts.
        rights: who may.
        hub: tells when a task has ended.
        listens: where this broker does, `host:port` each.
    """

    def __init__(
        self,
        members: Members,
        mesh: Mesh,
        supervisor: Supervisor,
        logs: LocalLogs,
        rights: Rights,
        hub: Hub,
        listens: Callable[[], tuple[str, ...]] | None,
    ) -> None:
        self._own = members.own
        self._name = members.name
        self._require = members.require
        self._mesh = mesh
        self._rights = rights
        self.grants_changed = rights.grants_changed
        self._growth = supervisor.growth
        self._attach = AttachServer(rights, supervisor, logs, members.name, listens)
        self._forward = ForwardServer(rights, hub)
        self._attached = Channels(ATTACH, mesh, self._attach.serve)
        self._forwarded = Channels(FORWARD, mesh, self._forward.serve)
        self._serving: set[asyncio.Task[None]] = set()
        self._moved = asyncio.Event()  # set, and another put in its place, as a link comes or goes
        self._moved_at: dict[BrokerId, float] = {}

    @property
    def hears(self) -> dict[Kind, Hear]:
        """By kind."""
        return self._attached.hears | self._forwarded.hears

    async def attach(self, row: SpawnRow, ask: Message) -> Conversation:
        """Attach to a spawn.

        Raises:
            RelayError: it may not be, or cannot be reached.
        """
        return await self._opened(row, ask, self._attached, self._attach.serve)

    async def forward(self, row: SpawnRow, port: int, look: bool = False) -> Conversation:
        """A connection to a port of the loopback of the machine that runs a spawn.

        Args:
            row: the spawn.
            port: which.
            look: only find out whether one could be made; it ends at once.

        Raises:
            RelayError: it may not be, cannot be reached, or nothing listens there.
        """
        ask: Message = {"port": port} | ({"look": True} if look else {})
        return await self._opened(row, ask, self._forwarded, self._forward.serve)

    async def _opened(self, row: SpawnRow, ask: Message, channels: Channels, serve: Serve) -> Conversation:
        if row.target == self._own:
            return self._here(row, ask, serve)
        await self._delivered(row)
        with contextlib.suppress(BrokeOff):  # of two links that are made at once one gives way; nobody had answered yet
            return await self._asked(row, ask, channels)
        return await self._asked(row, ask, channels)

    async def _asked(self, row: SpawnRow, ask: Message, channels: Channels) -> Conversation:
        await self._reached(row.target)
        return await channels.open(row.target, row.id, ask)

    def _here(self, row: SpawnRow, ask: Message, serve: Serve) -> Conversation:
        ours, theirs = pair()
        task = asyncio.get_running_loop().create_task(_served(theirs, self._own, row.id, ask, serve))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        return ours

    async def _delivered(self, row: SpawnRow) -> None:
        """Wait until the target has the request: what is live must not overtake it."""
        grown = self._growth.follow(row.id)
        until = asyncio.get_running_loop().time() + DELIVERY_S
        try:
            while True:
                grown.clear()
                now = await self._rights.known(row)  # after `follow`: the word may have come since the row was read
                if now.state is not State.QUEUED:
                    return
                await self._reached(row.target)
                if not await _within(grown, until):
                    raise away(self._name(row.target))
        finally:
            self._growth.forget(row.id, grown)

    async def _reached(self, target: BrokerId) -> None:
        now = asyncio.get_running_loop().time()
        moved_at = self._moved_at.get(target, -math.inf)
        until = now + RELINK_S if now - moved_at < JUST_NOW_S else now
        while self._mesh.way_link(target) is None:
            self._require(target)
            if not await _within(self._moved, until):
                raise away(self._name(target))

    def link_changed(self, peer: BrokerId) -> None:
        """The link to a peer came or went."""
        self._moved_at[peer] = asyncio.get_running_loop().time()
        self._moved.set()
        self._moved = asyncio.Event()
        self._attached.link_changed()
        self._forwarded.link_changed()

    async def close(self) -> None:
        """End all of it; the tasks go on."""
        self._attached.close()
        self._forwarded.close()
        for task in list(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)


async def _served(channel: Conversation, own: BrokerId, spawn: str, ask: Message, serve: Serve) -> None:
    error: RelayError | None = None
    try:
        await serve(channel, own, spawn, ask)
    except RelayError as fault:
        error = fault
    except asyncio.CancelledError:
        # no end of the task's: without a word on it who is attached would take it for one
        error = BrokeOff("the connection broke off", why="the broker of this machine stops", hint="relay up --detach")
        raise
    except Exception:
        _log.exception("serving a connection failed")
        error = own_fault()
    finally:
        channel.close(error)


async def _within(event: asyncio.Event, until: float) -> bool:
    try:
        async with asyncio.timeout_at(until):
            await event.wait()
    except TimeoutError:
        return False
    return True

"""What brokers tell each other of their outboxes: how many envelopes wait for the other one. For wording only."""

from __future__ import annotations

import asyncio
import contextlib

from relay.broker.inbox import Hear, Opened
from relay.broker.mesh import Mesh
from relay.core.errors import LocalFault, PeerFault
from relay.core.hello import is_count
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.store import outbox
from relay.store.engine import Store

SAY_EVERY_S = 5.0


class Waiting:
    """Says, and hears, how many envelopes wait.

    Args:
        store: the outbox.
        mesh: over whose links it is said.
    """

    def __init__(self, store: Store, mesh: Mesh) -> None:
        self._store = store
        self._mesh = mesh
        self._said: dict[BrokerId, int] = {}
        self._heard: dict[BrokerId, int] = {}
        self._work: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def hears(self) -> dict[Kind, Hear]:
        """By kind."""
        return {Kind.PRESENCE: self._presence}

    def waiting_there(self, peer: BrokerId) -> int | None:
        """How many envelopes waited at that peer for this broker, by its last word; None where it said nothing."""
        return self._heard.get(peer)

    def link_changed(self, peer: BrokerId, up: bool) -> None:
        """A link came up: tell what waits for its peer, until nothing does; or it ended."""
        self._said.pop(peer, None)
        if up and not self._closed:
            task = asyncio.get_running_loop().create_task(self._tell(peer))
            self._work.add(task)
            task.add_done_callback(self._work.discard)

    async def _tell(self, peer: BrokerId) -> None:
        # a store that is closed, or cannot be read now, has nothing to tell
        with contextlib.suppress(LocalFault):
            await self._tell_while_linked(peer)

    async def _tell_while_linked(self, peer: BrokerId) -> None:
        while self._mesh.is_linked(peer) and not self._closed:
            waiting = dict(await self._store.all(outbox.WAITING)).get(peer, 0)
            if self._said.get(peer) != waiting:
                self._said[peer] = waiting
                self._mesh.say(peer, Kind.PRESENCE, {"waiting": waiting})
            if waiting == 0:
                return
            await asyncio.sleep(SAY_EVERY_S)

    def _presence(self, each: Opened) -> None:
        waiting = each.body.content["waiting"]
        if not is_count(waiting):
            raise PeerFault("a word on presence was refused", why="it has another form")
        self._heard[each.header.origin] = waiting

    def close(self) -> None:
        """Tell nothing more."""
        self._closed = True
        for task in self._work:
            task.cancel()

"""What brokers tell each other when a link comes up: how many envelopes wait, what the other may do. For wording only.

A grant that was told decides nothing: the request is judged by the one that is asked, when it is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from relay.broker.inbox import Hear, Opened
from relay.broker.mesh import Mesh
from relay.core.allowlist import VERBS
from relay.core.errors import LocalFault, PeerFault
from relay.core.hello import is_count
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.store import outbox
from relay.store.engine import Store

SAY_EVERY_S = 5.0


class Waiting:
    """Says, and hears, how many envelopes wait and what may be done.

    Args:
        store: the outbox.
        mesh: over whose links it is said.
        verbs_of: what a broker may do here.
        clock: milliseconds since 1970.
    """

    def __init__(
        self, store: Store, mesh: Mesh, verbs_of: Callable[[BrokerId], list[str]], clock: Callable[[], int]
    ) -> None:
        self._store = store
        self._mesh = mesh
        self._verbs_of = verbs_of
        self._clock = clock
        self._said: dict[BrokerId, tuple[int, list[str]]] = {}
        self._heard: dict[BrokerId, int] = {}
        self._granted: dict[BrokerId, tuple[list[str], int]] = {}
        self._work: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def hears(self) -> dict[Kind, Hear]:
        """By kind."""
        return {Kind.PRESENCE: self._presence}

    def waiting_there(self, peer: BrokerId) -> int | None:
        """How many envelopes waited at that peer for this broker, by its last word; None where it said nothing."""
        return self._heard.get(peer)

    def granted_there(self, peer: BrokerId) -> tuple[list[str], int] | None:
        """What this broker may do there, and when that was said (milliseconds); None where it said nothing."""
        return self._granted.get(peer)

    def forget(self, peer: BrokerId) -> None:
        """What that peer said is known no more."""
        self._heard.pop(peer, None)
        self._granted.pop(peer, None)

    def grants_changed(self) -> None:
        """Tell those that are linked what they may do now."""
        for link in self._mesh.up:
            verbs = self._verbs_of(link.peer)
            waiting, told = self._said.get(link.peer, (0, None))
            if told is not None and told != verbs:
                self._say(link.peer, waiting, verbs)

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
            verbs = self._verbs_of(peer)
            if self._said.get(peer) != (waiting, verbs):
                self._say(peer, waiting, verbs)
            if waiting == 0:
                return
            await asyncio.sleep(SAY_EVERY_S)

    def _say(self, peer: BrokerId, waiting: int, verbs: list[str]) -> None:
        self._said[peer] = waiting, verbs
        self._mesh.say(peer, Kind.PRESENCE, {"waiting": waiting, "may": verbs})

    def _presence(self, each: Opened) -> None:
        waiting, verbs = each.body.content["waiting"], each.body.content.get("may")
        if not is_count(waiting) or not (verbs is None or isinstance(verbs, list)):
            raise PeerFault("a word on presence was refused", why="it has another form")
        self._heard[each.header.origin] = waiting
        if verbs is not None:
            # of a later version's verbs nothing can be said here
            self._granted[each.header.origin] = [verb for verb in VERBS if verb in verbs], self._clock()

    def close(self) -> None:
        """Tell nothing more."""
        self._closed = True
        for task in self._work:
            task.cancel()

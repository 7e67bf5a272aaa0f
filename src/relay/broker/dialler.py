"""The dialler: keeps trying to reach every member that is not linked, with backoff, at once when told to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Iterable

from relay.broker.carrier import Carrier
from relay.broker.racing import MAX_ATTEMPTS, first
from relay.core import ids
from relay.core.backoff import Backoff
from relay.core.errors import RelayError
from relay.core.ids import BrokerId

MAX_LOGGED = 64  # troubles of one member, until a link is made
Dial = Callable[[str, BrokerId], Awaitable[Carrier]]
_log = logging.getLogger(__name__)


class Dialler:
    """One task for each member.

    Args:
        dial: makes a connection to an address, the id pinned.
        addresses: where a member may be.
        is_linked: whether it is linked already.
        carry: runs a link over a connection until it ends.
    """

    def __init__(
        self,
        dial: Dial,
        addresses: Callable[[BrokerId], Awaitable[Iterable[str]]],
        is_linked: Callable[[BrokerId], bool],
        carry: Callable[[Carrier], Awaitable[None]],
    ) -> None:
        self._dial = dial
        self._addresses = addresses
        self._is_linked = is_linked
        self._carry = carry
        self._tasks: dict[BrokerId, asyncio.Task[None]] = {}
        self._pokes: dict[BrokerId, asyncio.Event] = {}
        self._attempts = asyncio.Semaphore(MAX_ATTEMPTS)
        self.troubles: dict[BrokerId, str] = {}
        self._logged: dict[BrokerId, set[str]] = {}

    def use(self, members: Iterable[BrokerId]) -> None:
        """Dial these members, and no others."""
        wanted = set(members)
        for peer in set(self._tasks) - wanted:
            self._tasks.pop(peer).cancel()
            self._pokes.pop(peer).set()
            self._logged.pop(peer, None)
        for peer in wanted - set(self._tasks):
            self._pokes[peer] = asyncio.Event()
            self._tasks[peer] = asyncio.get_running_loop().create_task(self._keep(peer, self._pokes[peer]))

    def poke(self, peer: BrokerId | None = None) -> None:
        """Something changed: try at once. None means everybody."""
        for each in [peer] if peer is not None else list(self._pokes):
            if each in self._pokes:
                self._pokes[each].set()

    async def _keep(self, peer: BrokerId, poke: asyncio.Event) -> None:
        backoff = Backoff()
        # not for ever: a link's task group that fails while it is cancelled tells of the failure only
        while self._pokes.get(peer) is poke:
            poke.clear()
            if self._is_linked(peer):
                await poke.wait()
                backoff.reset()
                continue
            if await self._try(peer, poke):
                backoff.reset()
            with contextlib.suppress(TimeoutError):
                # jitter needs no secrecy; and not wait_for, which before Python 3.12 may swallow a cancellation
                async with asyncio.timeout(backoff.wait(random.random()) / 1000):
                    await poke.wait()
                backoff.reset()

    async def _try(self, peer: BrokerId, poke: asyncio.Event) -> bool:
        async def attempt(address: str) -> Carrier:
            async with self._attempts:
                return await self._dial(address, peer)

        def failed(address: str, error: RelayError) -> None:
            self._note(peer, f"{address}: {error.why or error.message}")

        carrier = await first(attempt, list(await self._addresses(peer)), failed, poke)
        if carrier is None:
            return False
        self.troubles.pop(peer, None)
        self._logged.pop(peer, None)
        await self._carry(carrier)
        return True

    def _note(self, peer: BrokerId, trouble: str) -> None:
        logged = self._logged.setdefault(peer, set())
        if trouble not in logged and len(logged) < MAX_LOGGED:
            logged.add(trouble)
            _log.info("no link to %s: %s", ids.short(peer), trouble)
        self.troubles[peer] = trouble

    async def close(self) -> None:
        """Stop dialling."""
        pokes, self._pokes = self._pokes, {}
        for task in self._tasks.values():
            task.cancel()
        for poke in pokes.values():
            poke.set()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

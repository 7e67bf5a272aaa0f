"""The dialler: keeps trying to reach every member that is not linked, with backoff, at once when told to.

A link that was lost is dialled again at once. One that the other side turned away (it speaks another protocol, or
another machine shows this identity and takes the place) is not: there the backoff grows, whoever dialled.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from relay.broker.carrier import Carrier
from relay.broker.link import monotonic_ms
from relay.broker.racing import MAX_ATTEMPTS, first
from relay.core import ids
from relay.core.backoff import CALM, Backoff
from relay.core.errors import RelayError
from relay.core.ids import BrokerId

MAX_LOGGED = 64  # troubles of one member, until a link is made
Dial = Callable[[str, BrokerId], Awaitable[Carrier]]
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Way:
    """The dialling of one member."""

    backoff: Backoff = field(default_factory=Backoff)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    at_once: bool = True
    next_dial: float | None = None


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
        self._ways: dict[BrokerId, _Way] = {}
        self._attempts = asyncio.Semaphore(MAX_ATTEMPTS)
        self.troubles: dict[BrokerId, str] = {}
        self._logged: dict[BrokerId, set[str]] = {}

    def use(self, members: Iterable[BrokerId]) -> None:
        """Dial these members, and no others."""
        wanted = set(members)
        for peer in set(self._tasks) - wanted:
            self._tasks.pop(peer).cancel()
            self._ways.pop(peer).changed.set()
            self._logged.pop(peer, None)
        for peer in wanted - set(self._tasks):
            self._ways[peer] = _Way()
            self._tasks[peer] = asyncio.get_running_loop().create_task(self._keep(peer, self._ways[peer]))

    def poke(self, peer: BrokerId | None = None) -> None:
        """Something changed: try at once. None means everybody."""
        for each in [peer] if peer is not None else list(self._ways):
            if each in self._ways:
                self._ways[each].at_once = True
                self._ways[each].changed.set()

    def link_changed(self, peer: BrokerId, *, at_once: bool, lasted: int = CALM) -> None:
        """A link to a member came up or ended.

        Args:
            peer: which member.
            at_once: it was lost, and is to be dialled anew without a wait.
            lasted: for how many milliseconds there had been a connection: of short ones only some are followed at once.
        """
        way = self._ways.get(peer)
        if at_once and way is not None and way.backoff.may_hurry(monotonic_ms(), lasted):
            self.poke(peer)
        elif way is not None:
            way.changed.set()

    def next_dial(self, peer: BrokerId) -> float | None:
        """In how many seconds a member is dialled next; None where it is being dialled, linked, or no member."""
        way = self._ways.get(peer)
        if way is None or way.next_dial is None:
            return None
        return max(way.next_dial - time.monotonic(), 0.0)

    async def _keep(self, peer: BrokerId, way: _Way) -> None:
        # not for ever: a link's task group that fails while it is cancelled tells of the failure only
        while self._ways.get(peer) is way:
            if self._is_linked(peer):
                way.changed.clear()
                await way.changed.wait()
                continue
            if not way.at_once:
                await self._pause(peer, way)
            if way.at_once:
                way.backoff.reset()
                way.at_once = False
            if not self._is_linked(peer):
                await self._tried(peer, way)

    async def _tried(self, peer: BrokerId, way: _Way) -> None:
        try:
            await self._try(peer, way)
        except RelayError as error:
            self._note(peer, f"{error.message}: {error.why}")
        except Exception:
            # a defect of ours must not leave a member undialled for good
            _log.exception("dialling %s failed", ids.short(peer))

    async def _pause(self, peer: BrokerId, way: _Way) -> None:
        # jitter needs no secrecy; and not wait_for, which before Python 3.12 may swallow a cancellation
        seconds = way.backoff.wait(random.random()) / 1000  # noqa: S311
        way.next_dial = time.monotonic() + seconds
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not way.at_once and not self._is_linked(peer) and self._ways.get(peer) is way:
                    way.changed.clear()
                    await way.changed.wait()
        way.next_dial = None

    async def _try(self, peer: BrokerId, way: _Way) -> None:
        async def attempt(address: str) -> Carrier:
            async with self._attempts:
                return await self._dial(address, peer)

        def failed(address: str, error: RelayError) -> None:
            why = error.why or error.message
            # the system's own words, with its number, are for the log
            self._note(peer, why if address in why else f"{address}: {why}", error.__cause__)

        way.changed.clear()
        carrier = await first(attempt, list(await self._addresses(peer)), failed, way.changed)
        if carrier is not None:
            self.troubles.pop(peer, None)
            self._logged.pop(peer, None)
            await self._carry(carrier)

    def forget(self, peer: BrokerId) -> None:
        """What the last dials of a member met is known no more."""
        self.troubles.pop(peer, None)
        self._logged.pop(peer, None)

    def _note(self, peer: BrokerId, trouble: str, cause: BaseException | None = None) -> None:
        logged = self._logged.setdefault(peer, set())
        if trouble not in logged and len(logged) < MAX_LOGGED:
            logged.add(trouble)
            raw = f" ({type(cause).__name__}: {cause})" if cause is not None else ""
            _log.info("no link to %s: %s%s", ids.short(peer), trouble, raw[:300])
        self.troubles[peer] = trouble

    def rest(self) -> None:
        """Dial nobody any more; the links that were dialled go on, so that they may be ended with a goodbye."""
        ways, self._ways = self._ways, {}
        for way in ways.values():
            way.changed.set()

    async def close(self) -> None:
        """Stop dialling."""
        self.rest()
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

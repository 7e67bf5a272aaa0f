"""What time asks for: looking at what a person has changed, expiring what was never sent, forgetting what is over."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from relay.broker import handing
from relay.broker.clocks import Clocks
from relay.broker.handing import Handing
from relay.broker.requests import Requests
from relay.broker.tidying import Tidying
from relay.core.errors import LocalFault
from relay.spawn.supervisor import Supervisor
from relay.store.journal import Entry, Journal
from relay.store.reserve import Reserve

LOOK_EVERY_S = 1.0
SWEEP_EVERY_S = 60.0
_log = logging.getLogger(__name__)


class Housekeeping:
    """Looks at trust.toml every second, and tidies once a minute.

    Args:
        journal: what is tidied.
        requests: ends what was never sent.
        supervisor: ends what was never started.
        reserve: held again when there is room.
        hands: looks after what others keep for this broker.
        clocks: whether anything may be called expired, and what may be forgotten.
        tidying: seals again, and forgets what is over.
        look: looks whether a person has changed anything here.
        expire: ends calls that came, or left, too late.
    """

    def __init__(
        self,
        journal: Journal,
        requests: Requests,
        supervisor: Supervisor,
        reserve: Reserve,
        hands: Handing,
        clocks: Clocks,
        tidying: Tidying,
        look: Callable[[], Awaitable[None]],
        expire: Callable[[Entry], None] = lambda entry: None,
    ) -> None:
        self._expire_calls = expire
        self._journal = journal
        self._requests = requests
        self._supervisor = supervisor
        self._reserve = reserve
        self._handing = hands
        self._clocks = clocks
        self._tidying = tidying
        self._look = look

    async def run(self) -> None:
        """For ever."""
        # what came due while this broker was off
        await self._guarded(self._tidying.seal_again(self._journal))
        swept = looked = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self._guarded(self._look())
            if time.monotonic() - looked >= handing.EVERY_S:
                looked = time.monotonic()
                await self._guarded(self._handing.look())
            if time.monotonic() - swept >= SWEEP_EVERY_S:
                swept = time.monotonic()
                await self._sweep()

    async def _sweep(self) -> None:
        await self._guarded(asyncio.to_thread(self._reserve.hold))
        # one by one: what fails in one of them keeps no other from being done
        await self._guarded(self._journal.commit(self._expire))
        await self._guarded(self._tidying.seal_again(self._journal))
        await self._guarded(self._forget())

    async def _forget(self) -> None:
        await self._tidying.forget(self._journal, await self._journal.commit(self._clocks.note))

    async def _guarded(self, work: Awaitable[object]) -> None:
        try:
            await work
        except LocalFault as fault:
            _log.error("tidying was put off: %s: %s", fault.message, fault.why)
        except Exception:
            # a defect in one of these must not end the looking and the handing over
            _log.exception("tidying failed")

    def _expire(self, entry: Entry) -> None:
        if self._clocks.may_expire():
            self._requests.expire_unsent(entry)
            self._supervisor.expire(entry)
            self._expire_calls(entry)

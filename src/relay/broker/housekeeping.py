"""What time asks for: noticing that the machine slept, expiring what was never sent, forgetting what is over."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from relay.broker.requests import Requests
from relay.core.errors import LocalFault
from relay.spawn.supervisor import Supervisor
from relay.store import events, inbox, invites, operations, words
from relay.store.journal import Entry, Journal
from relay.store.reserve import Reserve
from relay.store.spawn_rows import UNSENT_EXPIRED

LOOK_EVERY_S = 1.0
LATE_S = 5.0
SWEEP_EVERY_S = 60.0
SKEW_MS = 10 * 60_000
KEEP_OPERATIONS_MS = 31 * 86_400_000
KEEP_EVENTS = 100_000
_log = logging.getLogger(__name__)


class Housekeeping:
    """Looks at the clocks every second, and tidies once a minute.

    Args:
        journal: what is tidied.
        requests: ends what was never sent.
        supervisor: ends what was never started.
        reserve: held again when there is room.
        woke: called when the machine slept or the clock jumped.
        may_expire: whether the clocks of linked peers let anything be called expired.
    """

    def __init__(
        self,
        journal: Journal,
        requests: Requests,
        supervisor: Supervisor,
        reserve: Reserve,
        woke: Callable[[], None],
        may_expire: Callable[[], bool],
    ) -> None:
        self._journal = journal
        self._requests = requests
        self._supervisor = supervisor
        self._reserve = reserve
        self._woke = woke
        self._may_expire = may_expire

    async def run(self) -> None:
        """For ever."""
        swept = time.monotonic()
        while True:
            wall, mono = time.time(), time.monotonic()
            await asyncio.sleep(LOOK_EVERY_S)
            passed = time.monotonic() - mono
            if abs(time.time() - wall - passed) > LATE_S or passed > LOOK_EVERY_S + LATE_S:
                _log.info("the machine slept, or its clock was set: every link is checked")
                self._woke()
            if time.monotonic() - swept >= SWEEP_EVERY_S:
                swept = time.monotonic()
                await self._sweep()

    async def _sweep(self) -> None:
        await asyncio.to_thread(self._reserve.hold)
        try:
            await self._journal.commit(self._expire)
            await self._journal.commit(self._forget)
        except LocalFault as fault:
            _log.error("tidying was put off: %s: %s", fault.message, fault.why)

    def _expire(self, entry: Entry) -> None:
        if self._may_expire():
            for row in UNSENT_EXPIRED.all(entry.tx, now=entry.now):
                self._requests.expire(entry, row)
            self._supervisor.expire(entry)

    def _forget(self, entry: Entry) -> None:
        if self._may_expire():
            inbox.purge(entry.tx, entry.now - SKEW_MS)
            invites.purge(entry.tx, entry.now - SKEW_MS)
            words.purge_tombstones(entry.tx, entry.now - SKEW_MS)
        operations.purge(entry.tx, entry.now - KEEP_OPERATIONS_MS)
        events.purge(entry.tx, KEEP_EVENTS)

"""Decisions that are not to be lost: to the end of a task a full disk is a reason to wait, and no more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from relay.core.errors import Code, LocalFault, RelayError
from relay.store.journal import Entry, Journal
from relay.store.reserve import Reserve

RETRY_S = 1.0
_log = logging.getLogger(__name__)
Decide = Callable[[Entry], None]


class ForSure:
    """Commits what has to be.

    Args:
        journal: where decisions are committed.
        reserve: given up when one cannot be written for want of room.
    """

    def __init__(self, journal: Journal, reserve: Reserve) -> None:
        self._journal = journal
        self._reserve = reserve

    async def commit(self, decide: Decide) -> None:
        """Commit it, however long that takes: the exit record waits, and so do we."""
        while True:
            try:
                return await self._journal.commit(decide)
            except LocalFault as fault:
                _log.error("the end of a task is not written yet: %s: %s", fault.message, fault.why)
                if fault.code is Code.DISK_FULL:
                    await asyncio.to_thread(self._reserve.release)
                await asyncio.sleep(RETRY_S)

    async def commit_or(self, decide: Decide, failed: Callable[[], None]) -> None:
        """As `commit`; where it fails by a defect, `failed` is called."""
        try:
            await self.commit(decide)
        except Exception:
            failed()
            raise

    async def commit_at_start(self, decide: Decide, failed: Callable[[], None]) -> None:
        """Commit it now; a defect in it keeps no broker from starting, and `failed` is called.

        Raises:
            RelayError: it cannot be, as where the store takes nothing.
        """
        try:
            await self._journal.commit(decide)
        except RelayError:
            raise
        except Exception:
            _log.exception("what waits could not be looked at")
            failed()

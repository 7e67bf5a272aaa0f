"""Places in line: what waits is told anew how many are ahead of it, as the line moves."""

from __future__ import annotations

import asyncio
import logging

from relay.broker.tools.line import Line
from relay.core.errors import LocalFault
from relay.store.journal import Entry, Journal

RENEWED_S = 2.0
"""A line that moves all the time is told of so often, and not with each step of it."""
_log = logging.getLogger(__name__)


class Places:
    """Renews them.

    Args:
        journal: where it becomes durable.
        line: knows them.
    """

    def __init__(self, journal: Journal, line: Line) -> None:
        self._journal = journal
        self._line = line
        self._timer: asyncio.TimerHandle | None = None
        self._work: asyncio.Task[None] | None = None
        self._closed = False

    def moved(self, entry: Entry) -> None:
        """A call has ended: others may be nearer now."""
        entry.then(self._soon)

    def _soon(self) -> None:
        if self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(RENEWED_S, self._now)

    def _now(self) -> None:
        self._timer = None
        self._work = asyncio.get_running_loop().create_task(self._renew())

    async def _renew(self) -> None:
        try:
            if await self._line.has_waiting(self._journal.store):
                await self._journal.commit(self._line.renew)
        except LocalFault as fault:
            _log.warning("what waits was not told of its places: %s", fault.why)

    def close(self) -> None:
        """Tell nothing more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._work is not None:
            self._work.cancel()

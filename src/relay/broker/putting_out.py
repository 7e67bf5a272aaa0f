"""What follows here when a member was put out of the workspace: its grant goes, and what it asked for is ended.

Links to it are closed by `relay.broker.membership`. Its grant is taken out of trust.toml, so that one that is
admitted again comes back without rights.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from relay.broker.auditor import Auditor, Decision
from relay.broker.members import Members
from relay.broker.roster import RosterKeeper
from relay.core import ids
from relay.core.errors import LocalFault
from relay.core.ids import BrokerId
from relay.core.roster import Roster
from relay.store.journal import Journal
from relay.trust.grants import revoke

_log = logging.getLogger(__name__)


class PuttingOut:
    """Follows the roster's evictions.

    Args:
        members: the roster in use.
        keeper: tells of changes.
        trust_file: where grants go from.
        journal: where that is written down.
        auditor: the audit log.
        end: ends what runs, waits or is scheduled here for who has no grant, or is no member.
    """

    def __init__(
        self,
        members: Members,
        keeper: RosterKeeper,
        trust_file: Path,
        journal: Journal,
        auditor: Auditor,
        end: Callable[[], Awaitable[None]],
    ) -> None:
        self._members = members
        self._keeper = keeper
        self._trust_file = trust_file
        self._journal = journal
        self._auditor = auditor
        self._end = end
        self._work: set[asyncio.Task[None]] = set()
        keeper.connect(self._roster_changed)

    async def open(self) -> None:
        """Finish what an earlier run of this broker did not come to."""
        if self._members.roster.evicted:
            await self._follow(self._members.roster.evicted)

    def _roster_changed(self, before: Roster, after: Roster) -> None:
        put_out = self._keeper.take_put_out()
        if put_out:
            task = asyncio.get_running_loop().create_task(self._follow(put_out))
            self._work.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("what was asked for by who was put out is not ended yet", exc_info=error)

    async def _follow(self, put_out: Iterable[BrokerId]) -> None:
        for broker in put_out:
            await self._take_grant(broker)
        await self._end()

    async def _take_grant(self, broker: BrokerId) -> None:
        try:
            had = await asyncio.to_thread(revoke, self._trust_file, broker)
        except LocalFault as fault:
            # the roster shuts it out all the same; `open` tries again
            _log.warning("the grant of %s, which was put out, stays in trust.toml: %s", ids.short(broker), fault.why)
            return
        if had:
            decision = Decision("roster", "revoke", detail=f"{ids.grouped(broker)} was put out of the workspace")
            await self._journal.commit(lambda entry: self._auditor.write(entry, decision))

    async def close(self) -> None:
        """Finish what is under way."""
        await asyncio.gather(*self._work, return_exceptions=True)

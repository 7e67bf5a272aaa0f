"""A restored store: when a peer has seen a later start of this broker than this one, intake stops.

What was taken in and done after the copy was made is forgotten here, so that a replay of it would act again. The
owner has to say which machine is the real one: `relay identity keep`. From then on what was made before this was found
out, and is not known here, is put off as `unsure` until its time is over: it may have acted. What was made later
has not.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from relay.broker.auditor import REFUSED, Auditor, Decision
from relay.broker.checkup import check
from relay.broker.greeting import Greeter
from relay.broker.inbox import Inbox
from relay.core.envelope import MAX_LIFE_MS
from relay.core.errors import Code
from relay.store import inbox, meta
from relay.store.engine import Store
from relay.store.journal import Entry, Journal

KEY = "behind"
SINCE = "behind.since"
_log = logging.getLogger(__name__)


class Rollback:
    """Stops intake, and remembers why over restarts.

    Args:
        store: where it is remembered.
        journal: where it is written.
        auditor: the audit log.
        inbox: what is stopped.
        greeter: reads what peers have seen.
    """

    def __init__(self, store: Store, journal: Journal, auditor: Auditor, inbox: Inbox, greeter: Greeter) -> None:
        self._store = store
        self._journal = journal
        self._auditor = auditor
        self._inbox = inbox
        self._greeter = greeter
        greeter.on_behind = self._proved
        self._noting: asyncio.Task[None] | None = None
        self.seen = 0

    async def open(self) -> None:
        """Stop intake if an earlier run had to."""
        self.seen = int(await self._store.one(meta.VALUE, key=KEY) or 0)
        self._inbox.is_open = self.seen == 0

    def _proved(self) -> None:
        """A hello has proved it: nothing is taken in from now on, whatever becomes of its link."""
        self._inbox.is_open = False
        self._noting = asyncio.get_running_loop().create_task(self.found(self._greeter.seen_of_us))

    async def found(self, seen: int) -> None:
        """A peer has seen this incarnation of ours, which is later than the present one.

        Args:
            seen: the counter it stated.
        """
        if seen <= self.seen:
            return
        self.seen = seen
        self._inbox.is_open = False
        _log.error("a peer has seen another start %d of this broker: its store was restored; nothing is taken in", seen)

        def decide(entry: Entry) -> None:
            meta.raise_number(entry.tx, KEY, seen)
            meta.raise_number(entry.tx, SINCE, entry.now)
            detail = f"a peer has seen a start {seen} of this broker that is not in its store: it is an older copy"
            self._auditor.write(entry, Decision("local", "intake", REFUSED, Code.INTAKE_STOPPED, detail))

        await self._journal.commit(decide)

    async def keep(self) -> bool:
        """This machine is the real one: count on from what was seen. Whether intake was stopped."""

        def decide(entry: Entry) -> bool:
            seen = meta.get_number(entry.tx, KEY)
            meta.put(entry.tx, KEY, "0")
            if seen:
                inbox.doubt(entry.tx, meta.get_number(entry.tx, SINCE, entry.now), MAX_LIFE_MS)
            meta.raise_number(entry.tx, meta.INCARNATION, seen)
            self._auditor.write(entry, Decision("local", "identity.keep", detail=f"counting on from start {seen}"))
            return seen > 0

        return await self._journal.commit(decide)

    def finding(self) -> dict[str, Any]:
        """The line of `relay doctor`."""
        restored = f"a peer has seen another start {self.seen}: an older copy was restored"
        detail = restored if self.seen else "not stopped: no peer has seen a later start of this broker"
        hint = (
            "relay identity keep, if this machine is the real one; if it is a copy of one that goes on: relay down;"
            " relay identity new; else restore the newer copy"
        )
        return check("intake", not self.seen, detail, hint)

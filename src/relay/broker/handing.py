"""Handing over once more: what a holder keeps and nobody has receipted goes to a second one, or to the same again."""

from __future__ import annotations

import time
from collections.abc import Callable

from relay.broker.outbox import Outbox
from relay.broker.routing import Router
from relay.core.ids import BrokerId
from relay.core.routing import LOST_AFTER, SILENT_AFTER, hand_over_again
from relay.store import outbox
from relay.store.engine import Store
from relay.store.outbox import OutboxLine

EVERY_S = 15.0
LONGEST_PAUSE_S = 600.0
MOST = 2_000


class Handing:
    """Looks after what others keep for this broker's recipients.

    Args:
        store: where the rows are.
        rows: the outbox at work.
        router: chooses the ways.
        is_linked: whether a link to a broker is up.
        reaches: whether a linked broker says that it is linked with one which this one is not.
        clock: milliseconds since 1970.
    """

    def __init__(
        self,
        store: Store,
        rows: Outbox,
        router: Router,
        is_linked: Callable[[BrokerId], bool],
        reaches: Callable[[BrokerId, BrokerId], bool],
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._rows = rows
        self._router = router
        self._is_linked = is_linked
        self._reaches = reaches
        self._clock = clock
        self._away_since: dict[BrokerId, float] = {}
        self._in_reach_since: dict[tuple[BrokerId, BrokerId], float] = {}
        self._asked: dict[BrokerId, tuple[float, float]] = {}

    async def look(self) -> None:
        """Hand over once more what is due; ask again whom a holder refused."""
        await self._due()
        kept = await self._store.all(outbox.KEPT)
        await self._silent({holder for holder, _ in kept})
        await self._lost(kept)
        self._refused()
        # after it, so that `relay outbox` says so until the next look
        self._rows.give_up_the_silent()

    async def _due(self) -> None:
        second, again = hand_over_again(1), hand_over_again(2)
        lines = await self._store.all(
            outbox.HAND_OVER_AGAIN, now=self._clock(), second=second, again=again, limit=MOST
        )
        await self._hand_over([line for line in lines if not self._is_linked(line.recipient)])

    async def _silent(self, holders: set[BrokerId]) -> None:
        away = {each for each in holders if not self._is_linked(each)}
        self._away_since = {each: self._away_since.get(each, time.monotonic()) for each in away}
        for holder, since in self._away_since.items():
            if (time.monotonic() - since) * 1000 >= SILENT_AFTER:
                lines = await self._handed_once(holder)
                # a second one at once, a third not: each of them may have died on its way
                others = [line for line in lines if self._router.way(line.recipient) not in (None, holder)]
                await self._hand_over([line for line in others if not self._is_linked(line.recipient)])

    async def _handed_once(self, holder: BrokerId, recipient: BrokerId | None = None) -> list[OutboxLine]:
        before = self._clock() - (0 if recipient is None else LOST_AFTER)
        return await self._store.all(
            outbox.HANDED_ONCE, holder=holder, recipient=recipient, before=before, limit=MOST
        )

    async def _lost(self, kept: list[tuple[BrokerId, BrokerId]]) -> None:
        """A recipient that is in the holder's reach has what was kept for it by now; its receipts were lost."""
        now = time.monotonic()
        near = {pair for pair in kept if self._reaches(*pair)}
        self._in_reach_since = {pair: self._in_reach_since.get(pair, now) for pair in near}
        for (holder, recipient), since in self._in_reach_since.items():
            last = max(since, self._rows.receipted_at.get(recipient, since))
            if (now - last) * 1000 >= LOST_AFTER:
                await self._hand_over(await self._handed_once(holder, recipient))

    async def _hand_over(self, lines: list[OutboxLine]) -> None:
        for recipient in {line.recipient for line in lines}:
            found = [line for line in lines if line.recipient == recipient]
            # one holder's at a time: else what one has lost goes to it again, while another is avoided for its own
            await self._again(recipient, [line for line in found if line.holder == found[0].holder])

    def _refused(self) -> None:
        now = time.monotonic()
        refusals = dict(self._rows.refusals)
        self._asked = {each: asked for each, asked in self._asked.items() if each in refusals}
        for recipient, (holder, _) in refusals.items():
            due, pause = self._asked.get(recipient, (0.0, EVERY_S))
            if now >= due:
                self._asked[recipient] = (now + pause, min(pause * 2, LONGEST_PAUSE_S))
                self._router.avoid(recipient, holder)
                self._rows.send_anew(recipient)

    async def _again(self, recipient: BrokerId, lines: list[OutboxLine]) -> None:
        if lines[0].holder is not None:
            self._router.avoid(recipient, lines[0].holder)
        await self._store.write(lambda tx: outbox.hand_over_again(tx, [line.id for line in lines]))
        self._rows.send_anew(recipient)

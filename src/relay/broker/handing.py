"""Handing over once more: what a holder keeps and nobody has receipted goes to a second one, or to the same again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from relay.broker.outbox import Outbox
from relay.broker.routing import Router
from relay.core.ids import BrokerId
from relay.core.routing import SILENT_AFTER, hand_over_again
from relay.store import outbox
from relay.store.engine import Store
from relay.store.outbox import OutboxLine

EVERY_S = 15.0
MOST = 2_000


class Handing:
    """Looks after what others keep for this broker's recipients.

    Args:
        store: where the rows are.
        rows: the outbox at work.
        router: chooses the ways.
        is_linked: whether a link to a broker is up.
        clock: milliseconds since 1970.
    """

    def __init__(
        self,
        store: Store,
        rows: Outbox,
        router: Router,
        is_linked: Callable[[BrokerId], bool],
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._rows = rows
        self._router = router
        self._is_linked = is_linked
        self._clock = clock
        self._away_since: dict[BrokerId, float] = {}

    async def look(self) -> None:
        """Hand over once more what is due; ask again whom a holder refused."""
        now = self._clock()
        handed = await self._store.all(outbox.HANDED, before=now, limit=MOST)
        self._note_away({line.holder for line in handed if line.holder is not None})
        due = [line for line in handed if self._is_due(line, now)]
        for recipient in {line.recipient for line in due}:
            await self._again(recipient, [line for line in due if line.recipient == recipient])
        for recipient, (holder, _) in list(self._rows.refusals.items()):
            self._router.avoid(recipient, holder)
            self._rows.send_anew(recipient)

    def _note_away(self, holders: Iterable[BrokerId]) -> None:
        away = {each for each in holders if not self._is_linked(each)}
        self._away_since = {each: self._away_since.get(each, time.monotonic()) for each in away}

    def _is_due(self, line: OutboxLine, now: int) -> bool:
        if line.holder is None or line.held_at is None or self._is_linked(line.recipient):
            return False
        if now - line.held_at >= hand_over_again(line.handed):
            return True
        since = self._away_since.get(line.holder)
        silent = since is not None and (time.monotonic() - since) * 1000 >= SILENT_AFTER
        # a second one at once, a third not: each of them may have died on its way
        return silent and line.handed <= 1 and self._router.way(line.recipient) not in (None, line.holder)

    async def _again(self, recipient: BrokerId, lines: list[OutboxLine]) -> None:
        if lines[0].holder is not None:
            self._router.avoid(recipient, lines[0].holder)
        await self._store.write(lambda tx: outbox.hand_over_again(tx, [line.id for line in lines]))
        self._rows.send_anew(recipient)

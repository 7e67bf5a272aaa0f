"""The outbox at work: a window of rows for each recipient, filled from the store, emptied by receipts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from relay.core.delivery import MAX_QUEUED, MAX_QUEUED_BYTES, Outgoing, Window
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.store import outbox, spawns
from relay.store.engine import Store
from relay.store.journal import Entry
from relay.store.outbox import OutboxLine, OutboxState
from relay.store.query import Tx

PAGE_ROWS = MAX_QUEUED // 2
PAGE_BYTES = MAX_QUEUED_BYTES // 2


class Outbox:
    """Windows over the stored outbox.

    Args:
        store: where the rows are.
        wake: called when a recipient's link has something to send.
    """

    def __init__(self, store: Store, wake: Callable[[BrokerId], None]) -> None:
        self._store = store
        self._wake = wake
        self._windows: dict[BrokerId, Window] = {}

    def window(self, peer: BrokerId) -> Window:
        """What is on its way to that peer."""
        return self._windows.setdefault(peer, Window())

    def posted(self, recipient: BrokerId, outgoing: Outgoing) -> None:
        """A row was committed."""
        self.window(recipient).offer(outgoing)
        self._wake(recipient)

    async def refill(self, peer: BrokerId) -> None:
        """Read the next rows for a peer into its window."""
        window = self.window(peer)
        missed = window.missed
        page = await self._store.all(
            outbox.PAGE, recipient=peer, after=window.last, limit=PAGE_ROWS, max_bytes=PAGE_BYTES
        )
        rows = [Outgoing(row.n, row.id, row.envelope, row.tries > 0) for row in page]
        window.refill(rows, end=not rows and window.missed == missed)

    async def mark_tried(self, peer: BrokerId, rows: Sequence[Outgoing]) -> list[Outgoing]:
        """Make it durable that these rows may have been sent; those that still may be.

        After this, no row of them can be cancelled or expired without the recipient's word.
        """
        unmarked = [row.id for row in rows if not row.tried]

        def mark(tx: Tx) -> set[bytes]:
            lines = [outbox.BY_ID.one(tx, id=each) for each in unmarked]
            standing = {line.id for line in lines if line is not None and line.state is OutboxState.PENDING}
            outbox.mark_tried(tx, standing, 0)
            return standing

        standing = await self._store.write(mark)
        self.window(peer).drop(each for each in unmarked if each not in standing)
        return [row for row in rows if row.tried or row.id in standing]

    def receipted(self, peer: BrokerId, ids: Sequence[bytes], now: int) -> None:
        """The recipient has these envelopes durably: close their rows with the next commit.

        Only what is in flight counts, so that a flood of receipts for nothing costs nothing. A row whose receipt is
        passed over, or whose close a crash took, is sent again, deduped, and receipted again.
        """
        taken = self.window(peer).receipted(ids)
        if not taken:
            return

        def close(tx: Tx) -> None:
            for line in outbox.receipted(tx, peer, taken):
                if line.kind == Kind.SPAWN and line.spawn is not None:
                    spawns.delivered(tx, line.spawn, now)

        self._store.write_lazily(close)

    def link_lost(self, peer: BrokerId) -> None:
        """Nothing in flight to that peer can be counted on."""
        self.window(peer).link_lost()

    def withdraw(self, entry: Entry, lines: Iterable[OutboxLine]) -> bool:
        """Take rows back that were never sent; False, and nothing is done, where one of them may have been.

        Args:
            entry: the transaction that decides on their end.
            lines: as they stand in that transaction.
        """
        rows = list(lines)
        if any(line.tries > 0 for line in rows):
            return False
        for line in rows:
            outbox.drop(entry.tx, line.id)
        return True

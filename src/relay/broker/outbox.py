"""The outbox at work: a window of rows for each recipient, filled from the store, emptied by receipts.

Each window goes one way at a time: over the recipient's own link, or over the link of a holder that keeps its rows
until the recipient has them. On another way it is read anew: over the recipient's link everything that was not
receipted, to a holder what none keeps.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

from relay.broker.host import Load
from relay.core.delivery import MAX_QUEUED, MAX_QUEUED_BYTES, Outgoing, Window
from relay.core.ids import BrokerId
from relay.core.kinds import AHEAD, Kind
from relay.core.values import frozen
from relay.core.ways import Ways
from relay.store import calls, outbox, spawns
from relay.store.engine import Store
from relay.store.journal import Entry
from relay.store.outbox import OutboxLine, OutboxState
from relay.store.query import Tx

REROUTE_S = 0.1
SILENT_SENDS = 2  # beyond the first, 30 s apart
DOES_NOT_ANSWER = "it does not answer"
PAGE_ROWS = MAX_QUEUED // 2
PAGE_BYTES = MAX_QUEUED_BYTES // 2


class Outbox:
    """Windows over the stored outbox.

    Args:
        store: where the rows are.
        wake: called when the link to a broker has something to send.
        choose: the linked broker that rows for a recipient are to go to, or None; given the present one.
        clock: milliseconds since 1970.

    Attributes:
        refusals: by recipient, the holder that would not keep what is for it, and why.
        receipted_at: by recipient, when its last receipt came (monotonic seconds).
    """

    def __init__(
        self,
        store: Store,
        wake: Callable[[BrokerId], None],
        choose: Callable[[BrokerId, BrokerId | None], BrokerId | None],
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._wake = wake
        self._choose = choose
        self._clock = clock
        self._ways: Ways[BrokerId] = Ways()
        self.refusals: dict[BrokerId, tuple[BrokerId, str]] = {}
        self.receipted_at: dict[BrokerId, float] = {}
        self._dead: dict[BrokerId, set[bytes]] = {}
        self._is_rerouting = False

    async def open(self) -> None:
        """Recall for whom there is something, and what of it holders keep."""
        for recipient, _ in await self._store.all(outbox.WAITING):
            self.window(recipient)
        for recipient, envelope in await self._store.all(outbox.HELD_ELSEWHERE):
            self._ways.remember_held(recipient, envelope)
        for line in await self._store.all(outbox.DEAD, recipient=None, limit=-1):
            self._dead.setdefault(line.recipient, set()).add(line.id)

    def window(self, peer: BrokerId) -> Window:
        """What is on its way to that peer."""
        return self._ways.window(peer)

    def posted(self, recipient: BrokerId, outgoing: Outgoing) -> None:
        """A row was committed."""
        self.window(recipient).offer(outgoing)
        self._route(recipient)
        self.wake(recipient)

    def wake(self, recipient: BrokerId) -> None:
        """There is something new to send to that broker, whatever way it goes."""
        way = self._ways.way(recipient)
        if way is not None:
            self._wake(way)

    # ways

    def loads(self, peer: BrokerId) -> list[Load]:
        """What goes over the link to that peer."""
        return [OutboxLoad(self, each, each != peer) for each in self._ways.over(peer)]

    def linked(self, peer: BrokerId) -> None:
        """A link to that peer came up."""
        self.window(peer)
        self.reroute()

    def reroute_soon(self) -> None:
        """What is known of others changed, and may go on to change."""
        if not self._is_rerouting:
            self._is_rerouting = True
            asyncio.get_running_loop().call_later(REROUTE_S, self._rerouted)

    def _rerouted(self) -> None:
        self._is_rerouting = False
        self.reroute()

    def reroute(self) -> None:
        """A link came or went."""
        for recipient in self._ways.recipients:
            self._route(recipient)

    def _route(self, recipient: BrokerId) -> None:
        way = self._choose(recipient, self._ways.way(recipient))
        if self._ways.turn(recipient, way):
            self.wake(recipient)
        if way == recipient:
            self.refusals.pop(recipient, None)

    def send_anew(self, recipient: BrokerId) -> None:
        """Something that was not to be sent is to be sent after all; who refuses it may do so again."""
        self.refusals.pop(recipient, None)
        self.window(recipient).begin_anew()
        self._route(recipient)
        self.wake(recipient)

    def answered(self, holder: BrokerId, answers: Iterable[tuple[bytes, str]]) -> None:
        """A holder says what became of rows it was handed."""
        for found in self._ways.answered(holder, answers):
            if found.kept:
                self._note_held(holder, found.kept)
            if found.why_not:
                self.refusals[found.recipient] = (holder, found.why_not)

    def give_up_the_silent(self) -> None:
        """A holder that was sent rows three times and said nothing counts as one that refused them."""
        for recipient, holder in self._ways.unheard(SILENT_SENDS):
            self.window(recipient).rest()
            self.refusals[recipient] = (holder, DOES_NOT_ANSWER)

    def _note_held(self, holder: BrokerId, envelopes: list[bytes]) -> None:
        now = self._clock()
        self._store.write_lazily(lambda tx: outbox.held_by(tx, holder, envelopes, now))

    # rows

    async def refill(self, recipient: BrokerId) -> None:
        """Read the next rows for a recipient into its window."""
        window = self.window(recipient)
        missed, turn = window.missed, window.turn
        page = await self._store.all(
            outbox.PAGE_UNHELD if self._ways.is_by_holder(recipient) else outbox.PAGE,
            recipient=recipient,
            after=window.last,
            limit=PAGE_ROWS,
            max_bytes=PAGE_BYTES,
        )
        rows = [Outgoing(row.n, row.id, row.envelope, row.tries > 0, row.kind in AHEAD) for row in page]
        if window.turn == turn:
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
        """The recipient has these envelopes durably: close their rows with the next commit that posts, or in 50 ms.

        Only what is in flight or dead counts, so that a flood of receipts for nothing costs nothing. A row whose
        receipt is passed over, or whose close a crash took, is sent again, deduped, and receipted again. Of a dead
        letter another copy was taken all the same, by another way or after an upgrade.
        """
        dead = self._dead.get(peer, set()).intersection(ids)
        taken = [*self.window(peer).receipted(ids), *dead]
        if not taken:
            return
        self.receipted_at[peer] = time.monotonic()
        if dead:
            self._dead[peer] -= dead

        def close(tx: Tx) -> None:
            for line in outbox.receipted(tx, peer, taken):
                if line.kind == Kind.SPAWN and line.spawn is not None:
                    spawns.delivered(tx, line.spawn, now)
                if line.kind == Kind.TOOL_CALL:
                    calls.delivered(tx, line.operation.partition("/")[2], now)

        # the target's word, which often comes with the receipt, says more than that it was delivered
        self._store.write_lazily(close, behind=True)

    def refused(self, peer: BrokerId, envelope: bytes, dead: bool) -> None:
        """The recipient will not have this envelope; `dead` where it stays as a dead letter."""
        self.window(peer).receipted([envelope])
        if dead:
            self._dead.setdefault(peer, set()).add(envelope)
        self.wake(peer)

    def link_lost(self, peer: BrokerId) -> None:
        """Nothing in flight over the link to that peer can be counted on."""
        self._ways.link_lost(peer)

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


@frozen
class OutboxLoad:
    """The rows for one recipient, on their way over one link."""

    _outbox: Outbox
    _recipient: BrokerId
    for_another: bool

    @property
    def window(self) -> Window:
        """What of them is in memory."""
        return self._outbox.window(self._recipient)

    async def refill(self) -> None:
        """Read more of them into the window."""
        await self._outbox.refill(self._recipient)

    async def mark_tried(self, rows: Sequence[Outgoing]) -> list[Outgoing]:
        """Make it durable that these rows may have been sent; those that still may be."""
        return await self._outbox.mark_tried(self._recipient, rows)

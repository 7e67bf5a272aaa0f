"""What is on its way to one recipient: queued, in flight, receipted.

The outbox in the store is the truth; this is the window over it. Entries leave the window by the recipient's
receipt, or while a holder keeps them; when a link goes, everything in flight is queued again, in order. What does
not fit the window is read from the store later (`wants_more`).

What is asked about spawns (`Outgoing.ahead`) leaves before the rest, in its own order: a spawn whose machine sleeps is
to be what it was made meanwhile, and one that was stopped is not to start.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from relay.core.frames import MAX_BATCH, MAX_BATCH_BYTES
from relay.core.values import frozen

MAX_QUEUED = 2_048
MAX_QUEUED_BYTES = 16 * 1024 * 1024
MAX_IN_FLIGHT = 1_024
RESEND_AFTER = 30_000


@frozen
class Outgoing:
    """One outbox row.

    Attributes:
        n: its place in the outbox; grows.
        id: the envelope's id.
        raw: the envelope.
        tried: it is on disk that this row may have been sent; nothing is sent before that.
        ahead: it leaves before those that are not.
    """

    n: int
    id: bytes
    raw: bytes
    tried: bool
    ahead: bool = False

    @property
    def place(self) -> tuple[bool, int]:
        """What a queue is sorted by."""
        return not self.ahead, self.n


@dataclass(slots=True)
class Window:
    """The rows of one recipient that are in memory.

    Attributes:
        complete: every stored row is in the window, so that a new one may be appended to it.
        last: the highest `n` that was ever in the window.
        missed: how many rows were offered while it was not complete; a read that began before the last of
            them may not have seen it.
        turn: how often it was begun anew; what a read brings that began before the last time is of no use.
        unheard: how often in a row something was sent again and nothing was answered, on this way.
    """

    complete: bool = False
    last: int = 0
    missed: int = 0
    turn: int = 0
    unheard: int = 0
    _rests: bool = False
    _queue: deque[Outgoing] = field(default_factory=deque)
    _queued_bytes: int = 0
    _flight: dict[bytes, tuple[Outgoing, int]] = field(default_factory=dict)
    _held: set[bytes] = field(default_factory=set)
    _sends: dict[bytes, int] = field(default_factory=dict)

    def offer(self, row: Outgoing) -> None:
        """A row was committed. It enters the window if it is the next one and there is room."""
        if not self.complete:
            self.missed += 1
            return
        if self._full():
            self.complete = False
            return
        self._append(row)

    def _full(self) -> bool:
        return len(self._queue) >= MAX_QUEUED or self._queued_bytes >= MAX_QUEUED_BYTES

    def _append(self, row: Outgoing) -> None:
        if row.n <= self.last:
            return
        if row.ahead:
            self._put_back([row])
        else:
            self._queue.append(row)
            self._queued_bytes += len(row.raw)
        self.last = row.n

    def _put_back(self, rows: list[Outgoing]) -> None:
        """Queue these where they belong: the queue is always sorted by place, whatever comes back to it, and when."""
        back = sorted(rows, key=lambda row: row.place)
        self._queued_bytes += sum(len(row.raw) for row in back)
        front = []
        while back and self._queue and self._queue[0].place < back[-1].place:
            front.append(self._queue.popleft())
        self._queue.extendleft(sorted(front + back, key=lambda row: row.place, reverse=True))

    def refill(self, rows: Iterable[Outgoing], end: bool) -> None:
        """Rows read from the store behind `last`; `end` says that there were no more, and none was missed meanwhile."""
        for row in rows:
            self._append(row)
        self.complete = end

    @property
    def wants_more(self) -> bool:
        """Whether the store holds rows that the window should read now."""
        return not self.complete and not self._rests and len(self._queue) < MAX_QUEUED // 4

    @property
    def has_more(self) -> bool:
        """Whether there is something to send, here or, for all that is known here, in the store."""
        return not self._rests and (not self.complete or bool(self._queue))

    @property
    def idle(self) -> bool:
        """Whether nothing awaits a receipt."""
        return not self._flight

    def take(self, credit: int, now: int) -> list[Outgoing]:
        """The next batch to send: at most 32 envelopes, 300 KiB and `credit` bytes; empty when there is none."""
        batch: list[Outgoing] = []
        size = 0
        while self._queue and not self._rests and len(batch) < MAX_BATCH and len(self._flight) < MAX_IN_FLIGHT:
            size += len(self._queue[0].raw)
            if (batch and size > MAX_BATCH_BYTES) or size > credit:
                break
            row = self._queue.popleft()
            self._queued_bytes -= len(row.raw)
            self._flight[row.id] = (row, now)
            self._sends[row.id] = self._sends.get(row.id, 0) + 1
            batch.append(row)
        return batch

    def untake(self, rows: Iterable[Outgoing]) -> None:
        """These were taken and not sent: they are queued again, in order, before the rest."""
        self._put_back([row for row in rows if self._flight.pop(row.id, None) is not None])

    def receipted(self, ids: Iterable[bytes]) -> list[bytes]:
        """The ids among these that were in flight, or with a holder; they are done."""
        return [each for each in ids if self._leaves(each)]

    def _leaves(self, envelope: bytes) -> bool:
        self._sends.pop(envelope, None)
        flown = self._flies_no_more(envelope)
        if envelope in self._held:
            self._held.discard(envelope)
            return True
        return flown

    def _flies_no_more(self, envelope: bytes) -> bool:
        if self._flight.pop(envelope, None) is None:
            return False
        self.unheard = 0
        return True

    def held(self, ids: Iterable[bytes]) -> list[bytes]:
        """A holder keeps these: the ids among them that were in flight. They are not sent again until `begin_anew`."""
        kept = [each for each in ids if self._flies_no_more(each)]
        self._held.update(kept)
        return kept

    def set_aside(self, ids: Iterable[bytes]) -> list[bytes]:
        """A holder will not keep these: the ids among them that were in flight. Not sent again until `begin_anew`."""
        return [each for each in ids if self._flies_no_more(each)]

    def rest(self) -> None:
        """Send nothing more until `begin_anew`."""
        self._rests = True

    def remember_held(self, ids: Iterable[bytes]) -> None:
        """A holder keeps these since an earlier run of this broker."""
        self._held.update(ids)

    def begin_anew(self) -> None:
        """The way to the recipient is another one: read all that the store has for that way.

        What a holder keeps is still known: its receipt may come at any time.
        """
        self._queue.clear()
        self._flight.clear()
        self._queued_bytes = self.last = self.unheard = 0
        self.complete = self._rests = False
        self.turn += 1

    def drop(self, gone: Iterable[bytes]) -> None:
        """Rows that left the outbox without a receipt: cancelled before they were ever sent."""
        for each in gone:
            self._flight.pop(each, None)
            self._sends.pop(each, None)

    def sends(self, envelope: bytes) -> int:
        """How often this one was sent since the broker started."""
        return self._sends.get(envelope, 0)

    def sent_at(self, envelope: bytes) -> int | None:
        """When this one was sent, monotonic milliseconds; None where it is not in flight."""
        found = self._flight.get(envelope)
        return None if found is None else found[1]

    def link_lost(self) -> None:
        """Queue again all that was in flight, in order, before the rest.

        Each keeps its own `tried`: whether that mark reached the disk is not known here.
        """
        rows = [row for row, _ in self._flight.values()]
        self._flight.clear()
        self._put_back(rows)

    def next_resend(self) -> int | None:
        """When the oldest row in flight should be sent again, monotonic milliseconds."""
        if not self._flight:
            return None
        return min(at for _, at in self._flight.values()) + RESEND_AFTER

    def resend(self, now: int) -> None:
        """Queue again what has been in flight for too long: the recipient may have failed to commit it."""
        late = [row for row, at in self._flight.values() if at + RESEND_AFTER <= now]
        self.unheard += bool(late)
        for row in late:
            del self._flight[row.id]
        self._put_back(late)

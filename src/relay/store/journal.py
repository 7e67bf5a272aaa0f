"""The journal: what a transaction decided leaves this broker only after its COMMIT.

An `Entry` is one transaction and what follows from it: envelopes for the outbox, events for subscribers,
callbacks. All of it is written inside the transaction; the interpreter carries it out after the commit, in
order. A rolled back entry leaves nothing.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from relay.core.delivery import Outgoing
from relay.core.errors import LocalFault
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.values import frozen
from relay.store import events
from relay.store.engine import Store
from relay.store.events import Event
from relay.store.spawn_rows import SpawnRow

T = TypeVar("T")
_log = logging.getLogger(__name__)


@frozen
class Letter:
    """What is to be sealed and kept in the outbox.

    Attributes:
        recipient: the broker it is for.
        kind: its kind.
        content: its body's keys.
        operation: the id its effect is deduped by at the recipient.
        spawn: the spawn it belongs to, for `relay outbox`.
        ttl: how long it may wait, milliseconds.
    """

    recipient: BrokerId
    kind: Kind
    content: dict[str, Any]
    operation: str
    ttl: int
    spawn: str | None = None


class Postbox(Protocol):
    """Seals letters and puts them into the outbox."""

    def post(self, tx: sqlite3.Connection, letter: Letter, now: int) -> Outgoing | None:
        """Seal and insert, inside the transaction; None where the recipient is no member (any more)."""


@dataclass(slots=True)
class Entry:
    """One open transaction.

    Attributes:
        tx: the connection, for the store's functions.
        now: milliseconds since 1970.
        beside: called with each event, inside the transaction.
        is_one_by_one: whether what is done `apart` is undone by itself where it fails.
        has_failed_apart: whether that failed, and is worth doing one by one.
    """

    tx: sqlite3.Connection
    now: int
    _postbox: Postbox
    posted: list[tuple[BrokerId, Outgoing]] = field(default_factory=list)
    events: list[tuple[Event, SpawnRow | None]] = field(default_factory=list)
    following: list[Callable[[], object]] = field(default_factory=list)
    deciding: list[Callable[[bool], None]] = field(default_factory=list)
    beginning: list[Callable[[], None]] = field(default_factory=list)
    beside: Callable[[Entry, Event], None] = lambda entry, event: None
    is_one_by_one: bool = False
    has_failed_apart: bool = False
    _parts: int = 0

    def post(self, letter: Letter) -> bool:
        """Put a letter into the outbox; False where the recipient is no member (any more)."""
        outgoing = self._postbox.post(self.tx, letter, self.now)
        if outgoing is None:
            return False
        self.posted.append((letter.recipient, outgoing))
        return True

    def event(self, kind: str, data: dict[str, Any], subject: SpawnRow | None = None) -> None:
        """Record an event; subscribers hear of it after the commit.

        Args:
            kind: such as `spawn.state`.
            data: its own keys.
            subject: the spawn as it stands now, for who waits for it.
        """
        seq = events.append(self.tx, kind, data, self.now)
        made = Event(seq, self.now, kind, data)
        self.events.append((made, subject))
        self.beside(self, made)

    def then(self, callback: Callable[[], object]) -> None:
        """Call this on the event loop after the commit."""
        self.following.append(callback)

    def meanwhile(self, begin: Callable[[], None], decided: Callable[[bool], None]) -> None:
        """Call `begin` on the event loop while this entry is committed, where the disk is shared with few others.

        Args:
            begin: what may be done for nothing; never after `decided`, and not for a part that may be undone.
            decided: told there whether the entry was committed, before all else that follows from it; nothing is told
                of what was undone before anything was begun.
        """
        self.deciding.append(decided)
        if not self._parts:
            self.beginning.append(begin)

    @property
    def _lists(self) -> tuple[list[Any], ...]:
        return self.posted, self.events, self.following, self.deciding, self.beginning

    def mark(self) -> tuple[int, ...]:
        """Where the entry stands, for `forget_since`."""
        return tuple(map(len, self._lists))

    def forget_since(self, mark: tuple[int, ...]) -> None:
        """Drop what was added since the mark: its savepoint was rolled back."""
        for added, since in zip(self._lists, mark, strict=True):
            del added[since:]

    @contextlib.contextmanager
    def undone_on_error(self) -> Iterator[None]:
        """What the block did is undone, and what was to follow from it forgotten, where it raises."""
        mark = self.mark()
        self._parts += 1
        self.tx.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            self.tx.execute("ROLLBACK TO part")
            self.forget_since(mark)
            raise
        finally:
            self._parts -= 1
            self.tx.execute("RELEASE part")


    def apart(self, what: str, work: Callable[[], object]) -> bool:
        """Do for one of many what may fail by a defect; False where it did, and is undone: the others go on.

        That costs nothing where none fails: only then all is decided once more, each of them by itself.

        Args:
            what: of which, for the log.
            work: what is done for it.
        """
        try:
            if not self.is_one_by_one:
                work()
                return True
            with self.undone_on_error():
                work()
        except Exception as fault:
            if not _is_a_defect(fault):
                raise
            if not self.is_one_by_one:
                self.has_failed_apart = True
                raise
            _log.exception("%s is passed over, the others go on", what)
            return False
        return True


def _is_a_defect(fault: Exception) -> bool:
    """Whether it may be of one row alone: not a want of memory, nor a store that takes nothing."""
    if isinstance(fault, sqlite3.Error):
        return isinstance(fault, sqlite3.IntegrityError)
    return not isinstance(fault, (MemoryError, LocalFault))


class Journal:
    """Runs entries on the store's writer and carries out what follows from them.

    Args:
        store: the open store.
        postbox: seals letters.
        clock: milliseconds since 1970.
    """

    def __init__(self, store: Store, postbox: Postbox, clock: Callable[[], int]) -> None:
        self.store = store
        self.clock = clock
        self._postbox = postbox
        self._on_posted: Callable[[BrokerId, Outgoing], None] = lambda recipient, outgoing: None
        self._on_event: Callable[[Event, SpawnRow | None], None] = lambda event, subject: None
        self._beside: Callable[[Entry, Event], None] = lambda entry, event: None

    def beside_events(self, written: Callable[[Entry, Event], None]) -> None:
        """Say who writes more beside each event, in its transaction."""
        self._beside = written

    def connect(
        self,
        on_posted: Callable[[BrokerId, Outgoing], None],
        on_event: Callable[[Event, SpawnRow | None], None],
    ) -> None:
        """Say who hears of committed envelopes and events."""
        self._on_posted, self._on_event = on_posted, on_event

    async def commit(self, decide: Callable[[Entry], T]) -> T:
        """Run `decide` in a transaction of its own, then carry out what it decided.

        Where it failed in what it does `apart`, it is run once more, in another one.

        Raises:
            LocalFault: the store could not commit; nothing happened.
            Exception: whatever `decide` raised; nothing happened.
        """
        entries: list[Entry] = []
        try:
            return await self._commit(decide, entries, is_one_by_one=False)
        except Exception:
            if not entries or not entries[0].has_failed_apart:
                raise
        return await self._commit(decide, entries, is_one_by_one=True)

    async def _commit(self, decide: Callable[[Entry], T], entries: list[Entry], *, is_one_by_one: bool) -> T:
        def operation(tx: sqlite3.Connection) -> T:
            entry = Entry(tx, self.clock(), self._postbox, beside=self._beside, is_one_by_one=is_one_by_one)
            entries[:] = [entry]
            outcome = decide(entry)
            for begin in entry.beginning:  # beside the disk, and not beside what is written: that wants Python too
                self.store.meanwhile(begin)
            if entry.posted:  # it writes to the outbox: the rows that are to leave it cost little more
                self.store.take_along()
            return outcome

        def undone() -> None:
            for decided in entries[0].deciding if entries else ():
                decided(False)

        # by the writer, not by the caller: one that is cancelled does not keep what follows from being carried out
        return await self.store.submit(operation, lambda: self._carry_out(entries[0]), undone)

    def _carry_out(self, entry: Entry) -> None:
        # each by itself: one that fails, as for want of memory, keeps nothing else that was decided from being done
        for decided in entry.deciding:
            _do(decided, True)
        for recipient, outgoing in entry.posted:
            _do(self._on_posted, recipient, outgoing)
        for event, subject in entry.events:
            _do(self._on_event, event, subject)
        for callback in entry.following:
            _do(callback)


def _do(work: Callable[..., object], *given: object) -> None:
    try:
        work(*given)
    except Exception:
        _log.exception("something that follows a commit failed")

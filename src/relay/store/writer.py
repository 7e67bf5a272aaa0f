"""The one writer: a thread that commits whatever is waiting as one transaction.

No linger timer: one transaction is in flight, what arrives meanwhile is the next batch. So a lone caller waits
for one fsync, and thirty-two callers share one (measured: design, performance.md point 2).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from relay.core.errors import LocalFault
from relay.store import faults
from relay.store.query import Tx

MAX_BATCH = 512  # ops; bounds how long the first caller of a flood waits, and the size of one transaction
LINGER_S = 0.05
AGAIN_S = 5.0  # after which what may wait is tried once more, where the store failed
MOST_AGAIN = 10_000  # of those; beyond them it is lost, as in a crash: a store may fail for days
CHECKPOINT_AFTER = 50  # transactions, of some twenty pages each
_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Job:
    op: Callable[[Tx], Any]
    done: asyncio.Future[Any] | None
    after: Callable[[], None] | None = None
    instead: Callable[[], None] | None = None
    waits_in: deque[_Job] | None = None
    outcome: Any = None
    error: BaseException | None = None

    @property
    def is_worth_another_try(self) -> bool:
        is_passing = isinstance(self.error, LocalFault) and self.error.code in faults.UNWRITABLE
        return is_passing and self.waits_in is not None


def _nothing(tx: Tx) -> None:
    return None


def _settle(jobs: list[_Job]) -> None:
    """Resume the callers, on their loop. One that was cancelled meanwhile is done already and stays so."""
    for job in jobs:
        if (follow_up := job.after if job.error is None else job.instead) is not None:
            _follow_up(follow_up)
        if job.done is None or job.done.done():
            continue
        if job.error is None:
            job.done.set_result(job.outcome)
        else:
            job.done.set_exception(job.error)


def _follow_up(after: Callable[[], None]) -> None:
    try:
        after()
    except Exception:
        # what is committed is committed: the other callers of the batch resume all the same
        _log.exception("what follows a commit failed")


class Writer:
    """Owns the writing connection and its thread.

    Args:
        connection: in autocommit mode, made with `check_same_thread=False`; the writer closes it.
        path: the store's file, for faults.
        loop: where callers wait.

    Attributes:
        trouble: why the last batch could not be committed; empty where it was.
        shared_by: how many ops the transaction has that runs, or ran last.
    """

    trouble = ""
    shared_by = 0

    def __init__(self, connection: Tx, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self._path = path
        self._loop = loop
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._lazy: deque[_Job] = deque()
        self._behind: deque[_Job] = deque()
        self._again = 0
        self._lazy_at = 0.0
        self._hurrying = False
        self._is_due = False
        self._goes_along = False
        self._uncopied = 0
        self._ended: asyncio.Future[None] = loop.create_future()
        self._closing = False
        # a daemon, so that a process that failed before close() still exits; nothing acknowledged is in its hands
        self._thread = Thread(target=self._run, name="relay-store-writer", daemon=True)
        self._thread.start()

    def submit(
        self,
        op: Callable[[Tx], Any],
        done: asyncio.Future[Any] | None,
        after: Callable[[], None] | None = None,
        instead: Callable[[], None] | None = None,
    ) -> None:
        """Hand an op over; from here on it runs, whether or not its caller still waits.

        Args:
            op: runs on the writer thread inside the batch's transaction.
            done: gets the outcome after COMMIT; None where nobody waits.
            after: called on the loop after COMMIT, before `done` is.
            instead: called there where the op failed.

        Raises:
            LocalFault: the store is closed.
        """
        if self._closing:
            raise faults.closed(self._path)
        self._queue.put(_Job(op, done, after, instead))

    def submit_lazily(self, op: Callable[[Tx], Any], behind: bool = False) -> None:
        """Hand over an op that may wait for the next batch, at most 50 ms; what it does may be lost in a crash.

        Nobody waits who could ask again: where the store fails it is done once that works.

        Args:
            op: as for `submit`.
            behind: it waits for a batch with an op that calls `take_along`, and runs after all of its ops.

        Raises:
            LocalFault: the store is closed.
        """
        if self._closing:
            raise faults.closed(self._path)
        self._wait(_Job(op, None, waits_in=self._behind if behind else self._lazy))

    def _wait(self, job: _Job) -> None:
        if self._closing or job.waits_in is None:
            return
        if not self._lazy and not self._behind:
            self._lazy_at = self._loop.time()
        job.error = None
        job.waits_in.append(job)
        self._hurry_in(LINGER_S)

    def _wait_again(self, jobs: list[_Job]) -> None:
        kept = jobs[: MOST_AGAIN - self._again]
        if len(kept) < len(jobs):
            _log.error("%d writes that nobody waits for are lost: too many wait for the store", len(jobs) - len(kept))
        self._again += len(kept)
        self._loop.call_later(AGAIN_S, self._try_again, kept)

    def _try_again(self, jobs: list[_Job]) -> None:
        self._again -= len(jobs)
        for job in jobs:
            self._wait(job)

    def take_along(self) -> None:
        """From within an op: what was handed over to go behind goes into this transaction."""
        self._goes_along = True

    def _hurry_in(self, wait: float) -> None:
        # one timer: one for each op would soon end in the midst of others, and commit by itself what has just come
        if not self._hurrying:
            self._hurrying = True
            self._loop.call_later(wait, self._hurry)

    def _hurry(self) -> None:
        self._hurrying = False
        if not (self._lazy or self._behind) or self._closing:
            return
        left = self._lazy_at + LINGER_S - self._loop.time()
        if left > 0:
            self._hurry_in(left)
        else:
            self._is_due = True
            self._queue.put(_Job(_nothing, None))

    async def close(self) -> None:
        """Commit what was handed over before, close the connection, end the thread."""
        if not self._closing:
            self._closing = True
            self._queue.put(None)
        await asyncio.shield(self._ended)
        self._thread.join()

    def _run(self) -> None:
        more = True
        while more:
            batch, more = self._next_batch()
            if batch:
                self._commit(batch)
                self._deliver(batch)
                self._checkpoint_between()
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()
        self.on_loop(self._end)

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    def _next_batch(self) -> tuple[list[_Job], bool]:
        """All that waits, at least one; and whether there may be more after it."""
        batch: list[_Job] = []
        job = self._queue.get()
        while self._lazy:
            batch.append(self._lazy.popleft())
        with contextlib.suppress(Empty):
            while job is not None:
                batch.append(job)
                if len(batch) >= MAX_BATCH:
                    break
                job = self._queue.get_nowait()
        if job is None:
            batch += self._from_behind()
        return batch, job is not None

    def _from_behind(self) -> Iterator[_Job]:
        while self._behind:
            yield self._behind.popleft()

    def _commit(self, batch: list[_Job]) -> None:
        self.shared_by = len(batch)
        self._goes_along = False
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._attempt_first(batch[0])
            for job in batch[1:]:
                self._attempt(job)
            if self._goes_along or self._is_due:
                self._is_due = False
                self._attempt_behind(batch)
            self._connection.execute("COMMIT")
            self.trouble = ""
        except BaseException as error:
            self._abandon(batch, error)

    def _attempt_first(self, job: _Job) -> None:
        # nothing stands before it, so that it is undone with all: a savepoint would copy each page that it writes
        if not self._try(job):
            self._connection.execute("ROLLBACK")
            self._connection.execute("BEGIN IMMEDIATE")

    def _attempt(self, job: _Job) -> None:
        self._connection.execute("SAVEPOINT op")
        if not self._try(job):
            self._connection.execute("ROLLBACK TO op")
        self._connection.execute("RELEASE op")

    def _attempt_behind(self, batch: list[_Job]) -> None:
        for job in self._from_behind():
            batch.append(job)
            self._attempt(job)

    def _try(self, job: _Job) -> bool:
        try:
            job.outcome = job.op(self._connection)
        except BaseException as error:
            job.error = self._told(error)
            if not self._connection.in_transaction:  # SQLite rolled the whole batch back (full disk, I/O)
                raise
            return False
        return True

    def _abandon(self, batch: list[_Job], error: BaseException) -> None:
        """Nothing of the batch was done: tell everyone so, each with an exception of their own."""
        _log.error("a batch of %d writes was not committed: %s", len(batch), error)
        self.trouble = self._fault(error).why
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        for job in batch:
            job.error = job.error or self._fault(error)

    def _fault(self, error: BaseException) -> LocalFault:
        known = faults.fault_of(error, self._path) if isinstance(error, sqlite3.Error) else None
        return known or faults.trouble(self._path, f"{type(error).__name__}: {error}")

    def _told(self, error: BaseException) -> BaseException:
        """What the op's own caller is told: storage faults in our words, all else as it was raised."""
        if isinstance(error, StopIteration):  # a Future refuses it
            return RuntimeError("an op raised StopIteration")
        known = faults.fault_of(error, self._path) if isinstance(error, sqlite3.Error) else None
        return known or error

    def _checkpoint_between(self) -> None:
        """Bring the log's pages into the file now and then while nobody waits, or it falls on somebody's commit."""
        self._uncopied += 1
        if self._uncopied >= CHECKPOINT_AFTER and self._queue.empty():
            self._uncopied = 0
            with contextlib.suppress(sqlite3.Error):  # as when SQLite does it by itself: the log keeps them
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _deliver(self, batch: list[_Job]) -> None:
        for job in batch:
            if job.done is None and job.error is not None and not job.is_worth_another_try:
                _log.error("a write that nobody waits for failed", exc_info=job.error)
        if again := [job for job in batch if job.is_worth_another_try]:
            self.on_loop(self._wait_again, again)
        waiting = [job for job in batch if job.done is not None]
        if waiting:
            self.on_loop(_settle, waiting)

    def on_loop(self, callback: Callable[..., None], *args: Any) -> None:
        """Call this on the loop, soon; from an op, before its COMMIT."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            self._loop.call_soon_threadsafe(callback, *args)

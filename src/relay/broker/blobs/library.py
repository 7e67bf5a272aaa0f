"""The blobs of this machine: taking files in, reading, writing out, the quota, and collecting what nobody needs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from relay.broker.blobs import faults, files
from relay.broker.blobs.files import BlobFile
from relay.broker.blobs.taking import Spot, TakingIn, WritingOut
from relay.core.errors import LocalFault
from relay.store import blobs
from relay.store.blobs import Blob
from relay.store.journal import Entry, Journal
from relay.store.query import Tx

T = TypeVar("T")
P = ParamSpec("P")
# few, so that their buffers are few too; a disk is not quicker for more
THREADS = 2
COLLECT_STEP = 100
_log = logging.getLogger(__name__)


class Library:
    """What is here.

    Args:
        journal: where rows are kept.
        folder: where the files are.
        quota: bytes of blobs that are kept at most.
    """

    def __init__(self, journal: Journal, folder: Path, quota: int) -> None:
        self._journal = journal
        self.folder = folder
        self.quota = quota
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="relay-blobs")
        self._readers: Counter[bytes] = Counter()
        self._coming = 0
        # held while names appear or go: a collector must not delete what another is just making
        self.naming = asyncio.Lock()

    async def open(self) -> None:
        """Make the folder, and delete what a crash left without a row.

        Raises:
            LocalFault: the folder cannot be used.
        """
        known = await self._journal.store.all(blobs.ALL)
        try:
            await self.run(files.prepare, self.folder, [each.hash for each in known])
        except OSError as fault:
            raise faults.of_system(fault, self.folder) from None

    async def close(self) -> None:
        """Wait for what the disk is just doing."""
        await asyncio.to_thread(self._pool.shutdown)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a piece of work that blocks, off the loop. Returns or raises only once it has ended, cancelled or not."""
        future = asyncio.get_running_loop().run_in_executor(self._pool, lambda: work(*args, **kwargs))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            if not future.cancelled():
                future.exception()  # nobody is left to be told
            raise

    # room

    def require_quota(self, tx: Tx, more: int, where: str = "") -> None:
        """Refuse so many more bytes where there would be more than the quota.

        Args:
            tx: the transaction that would add them.
            more: bytes.
            where: for the hint: `on NAME: `, or empty.

        Raises:
            Refused: `blob_quota`.
        """
        held = (blobs.BYTES.one(tx) or 0) + self._coming
        more = max(more, blobs.LEAST)
        if held + more > self.quota:
            raise faults.over_quota(held, more, self.quota, where)

    # in

    async def take_in(
        self,
        path: str,
        told: Callable[[int, int], None],
        then: Callable[[Entry, Blob], T],
        handle: int | None = None,
    ) -> T:
        """Make a blob of a file.

        Args:
            path: absolute; read as the broker's user.
            handle: the file, where it was opened already; it is closed, and `path` is for the words alone.
            told: called with the bytes read and their total.
            then: what else belongs into the transaction that keeps the blob: without a reference it is collected.

        Returns:
            What `then` gave.

        Raises:
            Misuse: `bad_file`.
            LocalFault: `file_changed`, `disk_full`.
            Refused: `blob_quota`.
        """
        taking = await self.run(TakingIn, self.folder, path, os.urandom(8).hex(), handle)
        size = taking.shape.size
        try:
            await self._journal.store.write(lambda tx: self.require_quota(tx, size))
            self._coming += size
            try:
                await self.run(taking.begin)
                told(0, size)
                while await self.run(taking.step):
                    told(taking.done, size)
                told(size, size)
                return await self._kept(taking, await self.run(taking.finish), then)
            finally:
                self._coming -= size
        finally:
            await self.run(taking.abandon)

    async def _kept(self, taking: TakingIn, address: bytes, then: Callable[[Entry, Blob], T]) -> T:
        shape = taking.shape

        def decide(entry: Entry) -> T:
            blob = Blob(address, shape.size, True, shape.total, entry.now)
            blobs.add(entry.tx, blob)
            return then(entry, blob)

        async with self.naming:
            known = await self._journal.store.one(blobs.BY_HASH, hash=address)
            # files that are here already may have been damaged since: the fresh ones take their place
            if known is None or not known.whole or not self._readers[address]:
                await self.run(taking.settle, address)
            return await self._journal.commit(decide)

    # reading

    @contextlib.asynccontextmanager
    async def reading(self, blob: Blob) -> AsyncIterator[BlobFile]:
        """A whole blob's files, for a block; it is not collected meanwhile."""
        self._readers[blob.hash] += 1
        try:
            opened = await self.run(BlobFile.open, self.folder, blob.hash, blob.size)
            try:
                yield opened
            finally:
                await self.run(opened.close)
        finally:
            self._readers[blob.hash] -= 1
            if not self._readers[blob.hash]:
                del self._readers[blob.hash]

    def hold(self, address: bytes, by: int) -> None:
        """Count a reader (1) or uncount it (-1) whose block is not that of a function."""
        self._readers[address] += by
        if not self._readers[address]:
            del self._readers[address]

    async def write_out(
        self, blob: Blob, target: str, told: Callable[[int, int], None], find: Callable[[], Spot] | None = None
    ) -> None:
        """Write a whole blob to a file that a person chose.

        Args:
            blob: which.
            target: an absolute path; nothing is written over.
            told: called with the bytes written and their total.
            find: finds the place, off the loop, where it is not simply what `target` names.

        Raises:
            Misuse: `bad_file`.
            LocalFault: `blob_damaged`, `disk_full`.
        """
        async with self.reading(blob) as opened:
            place = None if find is None else await self.run(find)
            writing = await self.run(WritingOut, opened, target, os.urandom(8).hex(), place)
            try:
                told(0, blob.size)
                while await self.run(writing.step):
                    told(writing.done, blob.size)
                await self.run(writing.finish)
                told(blob.size, blob.size)
            finally:
                await self.run(writing.close)

    # going

    async def collect(self) -> int:
        """Delete blobs that nothing holds and nobody reads, at most a hundred; how many."""
        gone = 0
        for blob in await self._journal.store.all(blobs.UNREFERENCED, limit=COLLECT_STEP):
            async with self.naming:
                if self._readers[blob.hash] or not await self._removed(blob.hash):
                    continue
                await self._deleted(blob.hash)
                gone += 1
        return gone

    async def _deleted(self, address: bytes) -> None:
        try:
            await self.run(files.delete, self.folder, address)
        except OSError as fault:  # a directory, say; files that no row knows go at the next start
            _log.error("a blob's files stay: %s: %s", fault.strerror, fault.filename)

    async def _removed(self, address: bytes) -> bool:
        try:
            return await self._journal.store.write(lambda tx: blobs.remove(tx, address))
        except LocalFault:
            return False  # a store that cannot write now; the next round comes

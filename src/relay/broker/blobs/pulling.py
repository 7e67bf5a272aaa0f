"""One stream of a blob from one source.

As many items are asked for as the blob's machine allows; what comes is written off the loop, and how far it is synced
is noted in the store.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Any

from relay.broker.blobs import faults
from relay.broker.blobs.download import Download, Piece, keep, monotonic_ms, wait
from relay.broker.blobs.files import BlobFile, sync_folder
from relay.broker.blobs.library import Library
from relay.broker.blobs.offers import Offers
from relay.broker.blobs.serving import Say
from relay.broker.members import Members
from relay.core.errors import RelayError
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.pace import Pace
from relay.core.streams import STREAM_BYTES
from relay.store import blobs
from relay.store.blobs import Blob, Reference
from relay.store.journal import Entry, Journal

SYNC_EVERY = 64  # items, 8 MiB: what a power cut may cost; a kill of the broker costs none of them
OPEN_WITHIN_S = 10.0
SILENCES = 2
_log = logging.getLogger(__name__)


class Later(Exception):
    """Nothing goes now: wait, then begin a new stream."""


class Pulling:
    """Pulls blobs, a stream at a time for each.

    Args:
        library: where they go.
        offers: told of their ends.
        journal: where progress is kept.
        members: names.
        say: sends what is not durable; False where there is no path now.
        probe: has the link that leads to a broker asked whether it lives.

    Attributes:
        streams: by their ids, the downloads that what comes is for.
    """

    def __init__(
        self,
        library: Library,
        offers: Offers,
        journal: Journal,
        members: Members,
        say: Say,
        probe: Callable[[BrokerId], None],
    ) -> None:
        self._library = library
        self._offers = offers
        self._journal = journal
        self._members = members
        self._say = say
        self._probe = probe
        self.streams: dict[bytes, Download] = {}

    async def pull(self, download: Download, source: Reference) -> None:
        """Fetch a blob from one source, to its end.

        Raises:
            Later: nothing goes now.
            RelayError: it will not come from there.
        """
        await self._open_stream(download, source)
        async with self._library.naming:
            opening = self._library.run(
                BlobFile.open, self._library.folder, download.blob.hash, download.blob.size, writable=True
            )
            file = await opening
        try:
            await self._resume(download, file)
            download.stand("pulling")
            download.moved = time.monotonic()
            while not download.machine.complete:
                await self._step(download, source, file)
            await self._arrived(download, file)
        finally:
            await self._library.run(file.close)

    async def _open_stream(self, download: Download, source: Reference) -> None:
        self.streams.pop(download.stream, None)
        download.begin(source, os.urandom(STREAM_BYTES))
        self.streams[download.stream] = download
        if not self._ask(download, []):
            raise Later(f"{self._members.name(source.peer)} cannot be reached now")
        await wait(download.news, OPEN_WITHIN_S)
        download.news.clear()
        _raise(download.refusal)
        if not download.session:
            self._probe(source.peer)
            raise Later(f"{self._members.name(source.peer)} does not answer")

    def _ask(self, download: Download, items: list[int]) -> bool:
        assert download.source is not None
        places = [list(download.machine.shape.place(item)) for item in items]
        content: dict[str, Any] = {"blob": download.blob.hash, "stream": download.stream, "n": download.asked}
        download.asked += 1
        content |= {"session": download.session, "items": places}
        return self._say(download.source.peer, Kind.BLOB_WANT, content)

    async def _resume(self, download: Download, file: BlobFile) -> None:
        """What was written after the last note in the store is found again by its hashes."""
        if download.machine.in_flight == 0 and download.done == 0 and download.blob.items == 0:
            faults.require_room(self._library.folder, download.blob.size)
        download.machine.found(await self._library.run(file.found, download.machine.done))
        download.pace = Pace(download.done, time.monotonic())

    async def _step(self, download: Download, source: Reference, file: BlobFile) -> None:
        machine, name = download.machine, self._members.name(source.peer)
        if machine.tick(monotonic_ms()):
            self._probe(source.peer)
            if machine.silences >= SILENCES:
                raise Later(f"{name} does not answer")
        if download.is_to_give_way:
            raise Later(f"others have their turn; {name} goes on after them")
        asked = machine.ask(monotonic_ms())
        if asked and not self._ask(download, asked):
            raise Later(f"{name} cannot be reached now")
        if not download.pieces:
            await download.until_news(machine.deadline())
        _raise(download.refusal)
        if not download.session:
            raise Later(f"{name} was started anew")
        if pieces := download.take():
            await self._keep(download, file, pieces, name)

    async def _keep(self, download: Download, file: BlobFile, pieces: list[Piece], name: str) -> None:
        results = await self._library.run(keep, file, pieces)
        trouble = download.settled(pieces, results, name)
        download.pace.note(download.done, time.monotonic())
        _raise(trouble)
        if download.unsynced >= SYNC_EVERY:
            await self._note(download, file)

    async def _note(self, download: Download, file: BlobFile) -> None:
        """Sync, then say in the store how far: never the other way round."""
        done, address = download.machine.done, download.blob.hash
        await self._library.run(file.sync)
        download.unsynced = 0
        await self._library.run(faults.require_room, self._library.folder, 0)
        await self._journal.store.write(lambda tx: blobs.progress(tx, address, done))

    async def _arrived(self, download: Download, file: BlobFile) -> None:
        await self._library.run(file.sync)
        await self._library.run(sync_folder, self._library.folder)
        blob, total = download.blob, download.machine.shape.total

        def decide(entry: Entry) -> None:
            blobs.add(entry.tx, Blob(blob.hash, blob.size, True, total, blob.created))
            self._offers.arrived(entry, blob.hash)

        await self._journal.commit(decide)
        _log.info("the blob %s is here", faults.short(blob.hash))


def _raise(error: RelayError | None) -> None:
    if error is not None:
        raise error

"""What this machine's clients ask of blobs: send, get, remove; each long one tells how far it is, a line at a time."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from typing import Any

from relay.broker.blobs import faults
from relay.broker.blobs.downloads import Downloads
from relay.broker.blobs.library import Library
from relay.broker.blobs.offers import DAY_MS, MAX_TTL_MS, Offers
from relay.broker.blobs.progress import LOOK_EVERY_S, Line, Meter, line_of, watched
from relay.broker.blobs.serving import BlobServer
from relay.broker.blobs.views import BlobViews
from relay.broker.members import Members
from relay.broker.orders import check_operation
from relay.core.blobs import is_blob_name
from relay.core.errors import Code, Misuse, Refused, RelayError, from_json
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.pace import Pace
from relay.core.values import frozen
from relay.store import blobs, operations, outbox
from relay.store.blobs import Blob, Need, NeedState, Reference
from relay.store.journal import Entry, Journal

DEFAULT_TTL_MS = 7 * DAY_MS
SILENT_AFTER_S = 2.0
MIN_PREFIX = 6
MAX_PATH = 4_096
ADDRESS_DIGITS = 64


@frozen
class Sending:
    """A checked request to send a file."""

    operation: str
    path: str
    name: str
    recipient: BrokerId
    ttl: int
    wait: bool


class BlobOrders:
    """Carries out what clients ask.

    Args:
        members: names.
        journal: where it becomes durable.
        library: the blobs that are here.
        offers: makes and ends needs.
        downloads: fetches.
        server: serves.
        views: renders.
    """

    def __init__(
        self,
        members: Members,
        journal: Journal,
        library: Library,
        offers: Offers,
        downloads: Downloads,
        server: BlobServer,
        views: BlobViews,
    ) -> None:
        self._members = members
        self._journal = journal
        self._library = library
        self._offers = offers
        self._downloads = downloads
        self._server = server
        self.views = views

    # sending

    def read(self, body: dict[str, Any]) -> Sending:
        """The request in a client's JSON.

        Raises:
            Misuse: a field is missing or wrong.
        """
        operation = check_operation(body)
        path = absolute(body.get("path"), "the file to send")
        name = os.path.basename(path) if body.get("name") is None else body["name"]
        if not is_blob_name(name):
            why = "a blob's name is one line of 1 to 200 bytes without a slash"
            raise Misuse(f"{str(name)[:80]!r} cannot name it", code=Code.BAD_NAME, why=why, hint="add --name NAME")
        broker = body.get("broker")
        if not isinstance(broker, str):
            raise Misuse("to which broker?", hint="relay blob send FILE --broker BROKER")
        recipient = self._members.resolve(broker)
        if recipient == self._members.own:
            raise Misuse("that is this machine", why="a file is sent to another broker", hint="relay brokers")
        return Sending(operation, path, str(name), recipient, _ttl(body), body.get("wait") is True)

    async def send(self, order: Sending) -> AsyncIterator[Line]:
        """Make the file a blob, offer it, and with `wait` stay until its recipient has it."""
        offer = await self._journal.store.one(blobs.BY_OPERATION, operation=order.operation)
        if offer is None:
            meter = Meter("reading")
            task = asyncio.get_running_loop().create_task(self._sent(order, meter))
            async for line in watched(task, meter.line):
                yield line
            offer = task.result()
        if order.wait:
            async for line in self._until_ended(offer):
                yield line
        yield {"blob": await self.views.one(offer.blob)}

    async def _sent(self, order: Sending, meter: Meter) -> Reference:
        def offer(entry: Entry, blob: Blob) -> Reference:
            if operations.ANSWER.one(entry.tx, op=order.operation) is not None:
                return _the_same(blobs.BY_OPERATION.one(entry.tx, operation=order.operation), blob)
            operations.remember(entry.tx, order.operation, entry.now, {"blob": blob.hash.hex()})
            return self._offers.offer(entry, blob, order.recipient, order.name, order.ttl, order.operation)

        return await self._library.take_in(order.path, meter.note, offer)

    async def _until_ended(self, offer: Reference) -> AsyncIterator[Line]:
        moved, before = time.monotonic(), None
        pace = Pace(0, moved)
        while True:
            key = {"hash": offer.blob, "need": str(Need.OFFER), "peer": offer.peer}
            now = await self._journal.store.one(blobs.ONE, **key)
            if now is None or now.state is not NeedState.OPEN:
                _raise_end(now)
                yield line_of("delivered", offer.size, offer.size, pace)
                return
            reached = self._server.reached(offer.blob, offer.peer)
            pace.note(reached or 0, time.monotonic())
            if reached != before:
                moved, before = time.monotonic(), reached
            silent = time.monotonic() - moved > SILENT_AFTER_S
            reason = f"{self._members.name(offer.peer)} does not fetch it now" if silent else ""
            yield line_of("offered" if reached is None else "sending", reached or 0, offer.size, pace, reason)
            await asyncio.sleep(LOOK_EVERY_S)

    # getting

    async def get(self, ref: str, target: str | None) -> AsyncIterator[Line]:
        """Fetch a blob that was offered here, and write it to a file where one is named.

        Args:
            ref: the beginning of its address, or its name.
            target: an absolute path, or None.
        """
        address = await self.find(ref)
        async for line in self._fetched(address):
            yield line
        blob = await self.whole(address)
        if target is not None:
            meter = Meter("writing")
            task = asyncio.get_running_loop().create_task(self._library.write_out(blob, target, meter.note))
            async for line in watched(task, meter.line):
                yield line
            task.result()
        yield {"blob": await self.views.one(address), "file": target}

    async def _fetched(self, address: bytes) -> AsyncIterator[Line]:
        if any(each.state is NeedState.OPEN for each in await self._downloads_of(address)):
            self._downloads.start(address)
        while self._downloads.is_under_way(address):
            download = self._downloads.of(address)
            if download is not None:
                size = download.blob.size
                yield line_of(download.state, download.done, size, download.pace, download.why)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _downloads_of(self, address: bytes) -> list[Reference]:
        found = await self._journal.store.all(blobs.OF_BLOB, hash=address)
        return [each for each in found if each.need is Need.DOWNLOAD]

    async def whole(self, address: bytes) -> Blob:
        """A blob of which all is here.

        Raises:
            RelayError: it is not here, and why.
        """
        blob = await self._journal.store.one(blobs.BY_HASH, hash=address)
        if blob is None or not blob.whole:
            raise await self._why_not(address)
        return blob

    async def _why_not(self, address: bytes) -> RelayError:
        ended = next((each for each in await self._downloads_of(address) if each.error), None)
        if ended is not None and ended.error is not None:
            return from_json(ended.error)
        return Refused(
            f"the blob {faults.short(address)} is not here",
            code=Code.NOT_OFFERED,
            why="nobody offers it to this broker now",
            hint="on the machine that has it: relay blob send FILE --broker BROKER",
        )

    async def find(self, ref: str) -> bytes:
        """The address of the blob a person means: the name of one that is needed, else of the last one that was so
        called, or the beginning of an address. Neither hides the other: names are chosen by who offers.

        Raises:
            Misuse: `unknown_blob`, or `ambiguous` with the candidates.
        """
        store = self._journal.store
        found = await store.all(blobs.NAMED, name=ref) or await store.all(blobs.LAST_NAMED, name=ref)
        if MIN_PREFIX <= len(ref) <= ADDRESS_DIGITS and ref.isalnum():
            begun = await store.all(blobs.BY_PREFIX, prefix=ref.lower())
            whole = len(ref) == ADDRESS_DIGITS and begun
            found = begun if whole else list(dict.fromkeys([*found, *begun]))
        if len(found) == 1:
            return found[0]
        if not found:
            raise faults.unknown(ref)
        listed = ", ".join(map(faults.short, found[:10]))
        raise Misuse(f"{ref[:80]!r} may be several blobs", code=Code.AMBIGUOUS, why=listed, hint="use more of its hash")

    # removing

    async def remove(self, ref: str) -> Line:
        """Drop every need of a blob that people made, stop moving it, and delete it unless a part of relay needs it."""
        address = await self.find(ref)
        shown = await self.views.one(address)
        await self._journal.commit(lambda entry: self._release(entry, address))
        await self._downloads.cancel(address)
        self._server.forget(address)
        await self._library.collect()
        kept = await self._journal.store.one(blobs.BY_HASH, hash=address) is not None
        return {"blob": shown, "removed": not kept}

    def _release(self, entry: Entry, address: bytes) -> None:
        for need in blobs.release_all(entry.tx, address):
            if need.state is not NeedState.OPEN:
                continue
            if need.need is Need.DOWNLOAD:
                gone = Refused(
                    "its recipient removed it", code=Code.UNKNOWN_BLOB, hint="send the file again: relay blob send"
                )
                self._offers.answer(entry, need, "failed", gone)
            else:
                self._withdraw(entry, need)

    def _withdraw(self, entry: Entry, offer: Reference) -> None:
        """An offer that was never sent need not be."""
        for line in outbox.BY_RECIPIENT.all(entry.tx, recipient=offer.peer):
            if line.kind == Kind.BLOB_OFFER and line.operation == offer.operation and not line.tries:
                outbox.drop(entry.tx, line.id)


def absolute(path: object, what: str) -> str:
    """A path that a client named, resolved where the person stood.

    Raises:
        Misuse: it is not absolute.
    """
    if isinstance(path, str) and os.path.isabs(path) and "\0" not in path and len(path) <= MAX_PATH:
        return path
    raise Misuse(
        f"{what} has no usable path",
        code=Code.BAD_FILE,
        why="an absolute path is wanted here",
        hint="give the whole path, such as /srv/file",
    )


def _ttl(body: dict[str, Any]) -> int:
    ttl = body.get("ttl_s")
    if ttl is None:
        return DEFAULT_TTL_MS
    if isinstance(ttl, bool) or not isinstance(ttl, (int, float)) or not 1 <= ttl * 1000 <= MAX_TTL_MS:
        raise Misuse(
            "the ttl cannot be used",
            code=Code.BAD_DURATION,
            why="it is more than 0 and at most 30 days",
            hint="--ttl 7d",
        )
    return int(ttl * 1000)


def _the_same(known: Reference | None, blob: Blob) -> Reference:
    """The offer that a retry of the same request had made meanwhile."""
    if known is None or known.blob != blob.hash:
        raise Misuse(
            "this operation id was used for something else",
            code=Code.CONFLICT,
            hint="ask again under an operation id of its own",
        )
    return known


def _raise_end(offer: Reference | None) -> None:
    if offer is not None and offer.state is NeedState.DELIVERED:
        return
    if offer is not None and offer.error is not None:
        raise from_json(offer.error)
    why = "it was removed here" if offer is None else "its time was over before its recipient had it"
    raise Refused("the file was not taken", code=Code.EXPIRED, why=why, hint="relay blob send FILE --broker BROKER")

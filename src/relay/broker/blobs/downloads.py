"""The pulling end: blobs that were offered here are fetched, verified on the way down, and resumed after anything.

For each blob one task. It pulls from one source after the other (`pulling.py`); where it finds no path, or silence, it
waits and begins a new stream.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from relay.broker.blobs.download import Download
from relay.broker.blobs.library import Library
from relay.broker.blobs.offers import Offers
from relay.broker.blobs.pulling import Later, Pulling
from relay.broker.blobs.serving import Say
from relay.broker.blobs.turns import Turns
from relay.broker.inbox import Hear, Opened
from relay.broker.members import Members
from relay.broker.standing import GONE
from relay.core.blobs import Shape
from relay.core.errors import Code, LocalFault, RelayError, from_json
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.pace import Pace
from relay.core.pulling import Pull
from relay.core.streams import STREAM_BYTES
from relay.store import blobs
from relay.store.blobs import Blob, Need, NeedState, Reference
from relay.store.journal import Journal

AT_ONCE = 4
PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
_PASSES = GONE | {Code.GRANT_FROZEN}
"""Why a source gives nothing of what it offers until a person there gives a right back."""
_log = logging.getLogger(__name__)


class Downloads:
    """Fetches blobs.

    Args:
        library: where they go.
        offers: told of their ends.
        journal: where progress is kept.
        members: names.
        say: sends what is not durable; False where there is no path now.
        probe: has the link that leads to a broker asked whether it lives.
        has_way: whether there is a path to a broker now.
        over: called when one has ended, so that what nobody needs is collected.
    """

    def __init__(
        self,
        library: Library,
        offers: Offers,
        journal: Journal,
        members: Members,
        say: Say,
        probe: Callable[[BrokerId], None],
        has_way: Callable[[BrokerId], bool],
        over: Callable[[], None],
    ) -> None:
        self._library = library
        self._offers = offers
        self._journal = journal
        self._members = members
        self._has_way = has_way
        self._over = over
        self._pulling = Pulling(library, offers, journal, members, say, probe)
        self._all: dict[bytes, tuple[Download | None, asyncio.Task[None]]] = {}
        self._turns = Turns(AT_ONCE)
        self._again: set[bytes] = set()
        self._closed = False

    @property
    def hears(self) -> dict[Kind, Hear]:
        """By kind."""
        return {Kind.BLOB_HAVE: self._have, Kind.BLOB_CHUNK: self._chunk}

    def of(self, address: bytes) -> Download | None:
        """The download of a blob, where one is under way."""
        return self._all[address][0] if address in self._all else None

    def is_under_way(self, address: bytes) -> bool:
        """Whether it is being fetched, or about to be."""
        return address in self._all

    def left(self, address: bytes) -> int:
        """How many bytes of a blob that is being fetched are not here yet."""
        download = self.of(address)
        return 0 if download is None else download.blob.size - download.done

    def why(self, address: bytes) -> str:
        """Why a blob that is being fetched stands still; empty while something of it comes."""
        download = self.of(address)
        return "" if download is None else download.why

    @property
    def moved(self) -> float:
        """When something came last of what is being fetched, monotonic seconds."""
        return max((each.moved for each, _ in self._all.values() if each is not None), default=0.0)

    def is_in_line(self, address: bytes) -> bool:
        """Whether it waits for its turn, behind others that are fetched."""
        download = self.of(address)
        return download is not None and download.in_line

    # hearing

    def _stream(self, each: Opened) -> Download | None:
        stream = each.body.content["stream"]
        found = self._pulling.streams.get(stream) if type(stream) is bytes else None
        right = found is not None and found.source is not None and found.source.peer == each.header.origin
        return found if right else None

    def _have(self, each: Opened) -> None:
        download, content = self._stream(each), each.body.content
        if download is None:
            return
        session, error = content["session"], content.get("error")
        if isinstance(error, dict):
            told = {key: str(error.get(key, ""))[:300] for key in ("code", "message", "why", "hint")}
            # "this disk" is the other machine's
            told["message"] = f"{self._members.name(each.header.origin)} cannot send it: {told['message']}"
            download.refusal = from_json(told)
        elif type(session) is bytes and len(session) in (0, STREAM_BYTES):
            if download.session and session:
                return  # an opening is answered once
            download.session = session
        download.news.set()

    def _chunk(self, each: Opened) -> None:
        download = self._stream(each)
        if download is not None and download.session:
            download.came(each.body.content)

    # starting and ending

    async def open(self) -> None:
        """Go on with what was under way when the broker ended."""
        for wanted in await self._journal.store.all(blobs.WANTED):
            self.start(wanted.blob)

    def start(self, address: bytes) -> None:
        """Fetch a blob that is wanted, unless it is being fetched."""
        if self._closed:
            return
        if address in self._all:
            self._again.add(address)  # its task may just be ending
        else:
            self._all[address] = None, asyncio.get_running_loop().create_task(self._run(address))

    def ask_again(self, address: bytes) -> None:
        """Somebody waits for it: what pauses between two tries does not any longer."""
        download = self.of(address)
        if download is not None:
            download.poked.set()

    async def cancel(self, address: bytes) -> None:
        """Stop fetching a blob; what is here stays until it is collected."""
        self._again.discard(address)
        if address in self._all:
            task = self._all[address][1]
            task.cancel()
            await asyncio.wait([task])

    async def over(self, address: bytes) -> None:
        """Wait until a blob is not being fetched any more: it is here, or will not come."""
        while address in self._all:
            await asyncio.wait([self._all[address][1]])
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Stop; the next start goes on."""
        self._closed = True
        for address in list(self._all):
            await self.cancel(address)

    def link_changed(self, peer: BrokerId, up: bool) -> None:
        """A link came or went: what was in flight over it is lost, and whoever waits for a path tries again."""
        for download, _ in self._all.values():
            if download is None:
                continue
            source = download.source
            # a link that comes up may have taken the place of another; a way through the middle ends with the link to
            # who is there
            if source is not None and (source.peer == peer or (not up and not self._has_way(source.peer))):
                download.machine.path_lost()
                download.news.set()
            download.poked.set()

    # one blob

    async def _run(self, address: bytes) -> None:
        self._library.hold(address, 1)
        try:
            blob = await self._journal.store.one(blobs.BY_HASH, hash=address)
            if blob is not None and not blob.whole:
                await self._fetch(blob)
        except Exception:
            _log.exception("fetching a blob failed; the next start of the broker goes on with it")
        finally:
            self._library.hold(address, -1)
            download = self._all.pop(address)[0]
            if download is not None:
                self._pulling.streams.pop(download.stream, None)
            self._over()
            if address in self._again:
                self._again.discard(address)
                self.start(address)

    async def _fetch(self, blob: Blob) -> None:
        download = Download(blob, Pull(Shape(blob.size), blob.items), Pace(0, time.monotonic()))
        self._all[blob.hash] = download, self._all[blob.hash][1]
        pause = PAUSE_S
        while True:
            download.poked.clear()
            before = download.machine.done
            try:
                if await self._is_over(download):
                    return
            except LocalFault as fault:
                _log.warning("a download waits for the store: %s %s", fault.message, fault.why)
                download.stand("paused", fault.message)
            pause = PAUSE_S if download.machine.done > before else min(pause * 2, LONGEST_PAUSE_S)
            await download.pause(pause)

    async def _is_over(self, download: Download) -> bool:
        """Try each source once; whether all is here, or nobody is left to ask."""
        sources = await self._sources(download.blob.hash)
        download.elsewhere = len(sources) > 1
        for source in sources:
            if await self._tried(download, source):
                return True
        return not await self._sources(download.blob.hash)

    async def _sources(self, address: bytes) -> list[Reference]:
        found = await self._journal.store.all(blobs.OF_BLOB, hash=address)
        return [each for each in found if each.need is Need.DOWNLOAD and each.state is NeedState.OPEN]

    async def _tried(self, download: Download, source: Reference) -> bool:
        """Fetch from one source as far as it goes; whether all is here."""
        try:
            download.in_line = True
            async with self._turns.of(source.peer) as download.turn:
                download.in_line = False
                await self._pulling.pull(download, source)
            return True
        except Later as later:
            download.stand("waiting", str(later))
        except LocalFault as fault:
            if fault.code is Code.BLOB_DAMAGED:
                await self._failed(source, fault)
            else:
                _log.warning("the download of a blob is paused: %s %s", fault.message, fault.why)
                download.stand("paused", f"{fault.message}: {fault.why}")
        except RelayError as error:
            if error.code not in _PASSES:
                await self._failed(source, error)
            else:
                download.stand("waiting", f"{error.message}: {error.why}")
        return False

    async def _failed(self, source: Reference, error: RelayError) -> None:
        _log.warning("a blob did not come from %s: %s %s", self._members.name(source.peer), error.message, error.why)
        await self._journal.commit(lambda entry: self._offers.end(entry, source, NeedState.FAILED, error))

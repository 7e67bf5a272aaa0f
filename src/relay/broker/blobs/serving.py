"""The serving end of a pull: items of blobs, to brokers they were offered to, as many as they ask for.

What a spawn gives back is its origin's as long as that may look at it: who lost its grant is given none of it any more.

A puller opens with a stream id of its own and is given a session id; what it asks for afterwards carries that id
and a growing number, so that an old request, sent again by somebody in between, moves nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from relay.broker.blobs import faults
from relay.broker.blobs.files import BlobFile
from relay.broker.blobs.library import Library
from relay.broker.inbox import Hear, Opened
from relay.broker.standing import GONE
from relay.core import ids
from relay.core.blobs import Place, is_address
from relay.core.errors import Code, Refused, RelayError
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.streams import STREAM_BYTES
from relay.store import blobs
from relay.store.blobs import Blob, Need, NeedState, Reference
from relay.store.engine import Store
from relay.store.spawn_rows import BY_ID

Say = Callable[..., bool]
"""`Mesh.say`."""
MAX_ITEMS = 32
MAX_QUEUED = 64
READ_TOGETHER = 4  # half a MiB: a visit to the thread that reads costs as much as a chunk's hash
MAX_SESSIONS = 8  # of one peer
MAX_OPENING = 64
IDLE_S = 120.0
_PASSES = frozenset({Code.GRANT_FROZEN, Code.BAD_TRUST_FILE})
"""Why nothing is given for now: it is not refused, and is asked for again."""
_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Session:
    peer: BrokerId
    stream: bytes
    blob: Blob
    until: int
    file: BlobFile
    giver: BrokerId
    is_result: bool
    id: bytes = field(default_factory=lambda: os.urandom(STREAM_BYTES))
    queue: deque[Place] = field(default_factory=deque)
    asked: int = 0
    reached: int = 0
    used: float = field(default_factory=time.monotonic)
    task: asyncio.Task[None] | None = None


class BlobServer:
    """Serves blobs.

    Args:
        library: where they are.
        store: to know to whom they were offered.
        say: sends what is not durable, by the broker that handed over what it answers; False where there is no path.
        clock: milliseconds since 1970.
        require_view: raises Refused where a broker may not look at its own spawns here.
    """

    def __init__(
        self,
        library: Library,
        store: Store,
        say: Say,
        clock: Callable[[], int],
        require_view: Callable[[BrokerId], None],
    ) -> None:
        self._library = library
        self._store = store
        self._say = say
        self._clock = clock
        self._require_view = require_view
        self._sessions: dict[tuple[BrokerId, bytes], _Session] = {}
        self._work: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def hears(self) -> dict[Kind, Hear]:
        """By kind."""
        return {Kind.BLOB_WANT: self._wanted}

    def reached(self, blob: bytes, peer: BrokerId) -> int | None:
        """How far a pull of that peer has come, in bytes of the blob; None where none is open."""
        found = [each for each in self._sessions.values() if each.blob.hash == blob and each.peer == peer]
        return max((each.file.shape.bytes_before(each.reached) for each in found), default=None)

    # hearing

    def _wanted(self, each: Opened) -> None:
        if self._closed:
            return  # its link is up a moment longer; the puller opens again once this broker is back
        content, peer = each.body.content, each.header.origin
        blob, stream, session, n = (content[key] for key in ("blob", "stream", "session", "n"))
        well_formed = is_address(blob) and _is_id(stream) and type(session) is bytes and type(n) is int
        if not well_formed:
            _log.warning("a request for a blob from %s has another form", ids.short(peer))
            return
        if not session:
            if (peer, stream) not in self._sessions and len(self._work) < MAX_OPENING:
                self._spawn(self._open(peer, stream, blob, each.giver))
            return
        known = self._sessions.get((peer, stream))
        if known is None or known.id != session or known.blob.hash != blob:
            # after a restart of this broker: the puller opens again
            self._say(peer, Kind.BLOB_HAVE, {"stream": stream, "session": b""}, each.giver)
        elif n > known.asked:
            known.asked, known.giver = n, each.giver
            self._ask(known, content["items"])

    def _ask(self, session: _Session, items: object) -> None:
        places = _places(items)
        session.used = time.monotonic()
        if places is None or not all(map(session.file.shape.has, places)):
            _log.warning("%s asks for pieces that a blob does not have", ids.short(session.peer))
            return
        new = [place for place in places if place not in session.queue]
        session.queue.extend(new[: MAX_QUEUED - len(session.queue)])
        if session.task is None:
            session.task = self._spawn(self._serve(session))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return task

    # opening

    async def _open(self, peer: BrokerId, stream: bytes, address: bytes, giver: BrokerId) -> None:
        try:
            session = await self._allowed(peer, stream, address, giver)
        except RelayError as error:
            if error.code not in _PASSES:
                self._refuse(peer, stream, error, giver)
            return
        if self._closed or (peer, stream) in self._sessions:
            await self._library.run(session.file.close)
            return
        self._make_room(peer)
        self._library.hold(address, 1)
        self._sessions[peer, stream] = session
        self._say(peer, Kind.BLOB_HAVE, {"stream": stream, "session": session.id, "size": session.blob.size}, giver)

    async def _allowed(self, peer: BrokerId, stream: bytes, address: bytes, giver: BrokerId) -> _Session:
        """A session for a peer that has an offer of the blob; who only knows its address learns nothing."""
        offer = await self._store.one(blobs.ONE, hash=address, need=str(Need.OFFER), peer=peer)
        blob = await self._store.one(blobs.BY_HASH, hash=address)
        open_now = offer is not None and offer.state is NeedState.OPEN and offer.until > self._clock()
        if offer is None or blob is None or not open_now or not blob.whole:
            raise _not_offered(address)
        is_result = await self._is_result(offer)
        file = await self._library.run(BlobFile.open, self._library.folder, address, blob.size)
        try:
            # last: a right that is taken back from here on finds the session
            if is_result:
                self._require_view(peer)
        except Refused:
            await self._library.run(file.close)
            raise
        return _Session(peer, stream, blob, offer.until, file, giver, is_result)

    async def _is_result(self, offer: Reference) -> bool:
        """Whether it belongs to what a spawn gave back, whose origin asks for it."""
        spawn = blobs.spawn_of(offer.operation)
        row = await self._store.one(BY_ID, id=spawn) if spawn else None
        return row is not None and row.origin == offer.peer

    def _make_room(self, peer: BrokerId) -> None:
        of_peer = [each for each in self._sessions.values() if each.peer == peer]
        if len(of_peer) >= MAX_SESSIONS:
            self._close(min(of_peer, key=lambda each: each.used))

    def _refuse(self, peer: BrokerId, stream: bytes, error: RelayError, giver: BrokerId) -> None:
        self._say(peer, Kind.BLOB_HAVE, {"stream": stream, "session": b"", "error": error.to_json()}, giver)

    # serving

    async def _serve(self, session: _Session) -> None:
        try:
            while session.queue:
                await self._send_some(session)
        except RelayError as error:
            _log.error("a blob cannot be served: %s %s", error.message, error.why)
            self._refuse(session.peer, session.stream, error, session.giver)
            self._close(session)
        finally:
            session.task = None

    async def _send_some(self, session: _Session) -> None:
        places = [session.queue.popleft() for _ in range(min(len(session.queue), READ_TOGETHER))]
        read = await self._library.run(lambda: [session.file.read(place) for place in places])
        for place, data in zip(places, read, strict=True):
            if not self._sent(session, place, data):
                session.queue.clear()  # no path now; what it misses it asks for again
                return
            await asyncio.sleep(0)  # signing a chunk takes as long as a key of somebody's terminal may

    def _sent(self, session: _Session, place: Place, data: bytes) -> bool:
        if session.until <= self._clock():
            raise _not_offered(session.blob.hash)
        content = {"stream": session.stream, "item": list(place), "data": data}
        if not self._say(session.peer, Kind.BLOB_CHUNK, content, session.giver):
            return False
        session.reached = max(session.reached, session.file.shape.item(place) + 1)
        return True

    # ending

    def _close(self, session: _Session) -> None:
        if self._sessions.pop((session.peer, session.stream), None) is None:
            return
        if session.task is not None and session.task is not asyncio.current_task():
            session.task.cancel()
        self._library.hold(session.blob.hash, -1)
        self._spawn(self._library.run(session.file.close))

    def forget(self, blob: bytes, peer: BrokerId | None = None) -> None:
        """Stop serving a blob, to one peer or to all: its offer is over."""
        for each in list(self._sessions.values()):
            if each.blob.hash == blob and peer in (None, each.peer):
                self._close(each)

    def grants_changed(self) -> None:
        """End what may not go on."""
        for each in [session for session in self._sessions.values() if session.is_result]:
            try:
                self._require_view(each.peer)
            except Refused as refusal:
                if refusal.code in GONE:
                    self._refuse(each.peer, each.stream, refusal, each.giver)
                    self._close(each)

    def tidy(self) -> None:
        """Close what nobody has asked anything of for two minutes."""
        idle = time.monotonic() - IDLE_S
        for each in list(self._sessions.values()):
            if each.used < idle and each.task is None:
                self._close(each)

    async def close(self) -> None:
        """Stop serving."""
        self._closed = True
        for each in list(self._sessions.values()):
            self._close(each)
        await asyncio.gather(*self._work, return_exceptions=True)


def _not_offered(address: bytes) -> Refused:
    return Refused(
        f"the blob {faults.short(address)} may not be pulled",
        code=Code.NOT_OFFERED,
        why="that broker has not offered it to this one, or not any more",
        hint="there: relay blob send FILE --broker BROKER",
    )


def _is_id(value: object) -> bool:
    return type(value) is bytes and len(value) == STREAM_BYTES


def _places(items: object) -> list[Place] | None:
    """The items of a request, or None where it has another form."""
    if type(items) is not list or len(items) > MAX_ITEMS:
        return None
    pairs = [each for each in items if type(each) is list and len(each) == 2 and all(type(n) is int for n in each)]
    return [Place(*each) for each in pairs] if len(pairs) == len(items) else None

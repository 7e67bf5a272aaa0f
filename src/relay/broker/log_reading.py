"""Transcripts of other brokers: read by offset over any number of broken streams, nothing missed and nothing twice.

A reader opens a stream with a random id of its own, over the way that there is then. What is silent for too long, or
whose way is no more, is opened again where it stands, by another way where there is one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

from relay.broker import log_pieces, log_piecewise
from relay.broker.inbox import Hear, Opened
from relay.broker.link import Link
from relay.broker.log_words import NOTHING_COMES, OUT_OF_REACH, REQUEST, Waits, raise_error, silent, unreachable
from relay.broker.mesh import Mesh
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.states import TERMINAL, State
from relay.core.streams import STREAM_BYTES, stream_of
from relay.spawn.supervisor import Supervisor
from relay.spawn.transcript import Chunk
from relay.store.engine import Store
from relay.store.spawn_rows import BY_ID, SpawnRow

MAX_WAITING = 64
ASK_S = 2.0
"""For how long nothing at all may come before the other machine is asked whether it lives."""
FIRST_S, LEAST_S = 10.0, 1.0
"""When a reader is told that no word has come, where its machine does not say that it lives; and for how long each way
that there is has at least."""
WORD_S = 8.0
"""After what silence a follower is told that it waits: more than one of the server's words is missing then."""
SILENCE_S = 15.0


class _Reading:
    """One open stream of this reader."""

    def __init__(self, target: BrokerId, link: Link, until: float | None, follows: bool) -> None:
        self.target = target
        self.link = link
        self.until = until  # by when something must have come, on the loop's clock
        self.follows = follows
        self.expected = 0
        self.pieces: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self.broken = False
        self.heard = False
        self.waits = False
        self.asked = False

    def patience(self, now: float) -> float | None:
        """For how long it may be silent now, seconds; None where its link tells that the other end went."""
        if self.link.peer == self.target:
            return None if self.heard or self.asked else ASK_S
        # over a holder nobody tells: after a while the stream is opened again where it stands
        seconds = SILENCE_S - WORD_S if self.waits else WORD_S
        if self.heard or self.waits or self.until is None:
            return seconds
        return min(seconds, max(self.until - now, LEAST_S))

    def end(self) -> None:
        """Nothing more is taken: what has come is read, and the next stream goes on behind it."""
        if not self.broken:
            self.broken = True
            self.pieces.put_nowait(None)


class LogClient:
    """Reads transcripts of other brokers.

    Args:
        mesh: where they come from.
        store: to know when a spawn has ended.
        supervisor: tells when there is a new word on one.
        require: raises an error where a broker is no member any more, which no waiting brings back.
    """

    def __init__(
        self,
        mesh: Mesh,
        store: Store,
        supervisor: Supervisor,
        require: Callable[[BrokerId], None] = lambda broker: None,
    ) -> None:
        self._mesh = mesh
        self._store = store
        self._supervisor = supervisor
        self._require = require
        self._readings: dict[bytes, _Reading] = {}
        self._waiting: set[asyncio.Event] = set()
        mesh.on_piece[log_piecewise.DATA] = self._piece

    @property
    def hears(self) -> dict[Kind, Hear]:
        """By kind."""
        return {Kind.LOG_DATA: self._data, Kind.LOG_CLOSE: self._closed}

    def link_changed(self) -> None:
        """A link came or went: streams over it are broken off, and opened again."""
        for waiting in self._waiting:
            waiting.set()
        for reading in self._readings.values():
            # whatever other way there is: its other end may be a broker that was started anew, and knows nothing of it;
            # and what was asked for on a way that led nowhere meanwhile is asked for again on the better one
            way = self._mesh.way_link(reading.target, reading.link)
            if not self._mesh.stands(reading.link) or way is not reading.link:
                reading.end()

    def _data(self, each: Opened) -> None:
        self._heard(each.header.origin, each.giver, each.body.content)

    def _piece(self, peer: BrokerId, content: dict[str, Any]) -> None:
        self._heard(peer, peer, log_piecewise.data_of(content))

    def _heard(self, origin: BrokerId, giver: BrokerId, content: dict[str, Any]) -> None:
        stream = stream_of(content, REQUEST)
        reading = self._readings.get(stream)
        if reading is None:
            if not content["end"]:
                self._answer_unknown(origin, giver, stream)
            return
        if reading.target != origin or reading.broken:
            return
        if content["n"] != reading.expected or reading.pieces.qsize() >= MAX_WAITING:
            # a piece was dropped, or this reader is too slow: open again where it stands
            reading.end()
            return
        reading.heard = True
        reading.expected += 1
        reading.pieces.put_nowait(content)

    def _answer_unknown(self, origin: BrokerId, giver: BrokerId, stream: bytes) -> None:
        """Whose reader is gone: the close was lost, or this broker was started anew."""
        link = self._mesh.link(giver)
        if link is not None:
            self._mesh.say_over(link, origin, Kind.LOG_CLOSE, {"stream": stream})

    def _closed(self, each: Opened) -> None:
        """The way that the other end had is no more, and it has another."""
        reading = self._readings.get(stream_of(each.body.content, REQUEST))
        if reading is not None and reading.target == each.header.origin and not reading.broken:
            if each.giver != reading.link.peer:
                self._mesh.fell_silent(reading.target, reading.link)
            reading.end()

    async def read(
        self, row: SpawnRow, offset: int = 0, tail: int | None = None, follow: bool = False, since: int | None = None
    ) -> AsyncIterator[list[Chunk] | Waits]:
        """Pieces of a transcript that is elsewhere; as `LocalLogs.read`, over any number of broken links.

        A follower is told once when it begins to wait for the other machine.

        Raises:
            TargetAway: there is no link, and nobody to wait for one.
            Unreachable: its target was put out of the workspace.
            RelayError: the target refused.
        """
        ended = begun = told = False
        tried: set[Link] = set()
        loop = asyncio.get_running_loop()
        until = loop.time() + FIRST_S
        while not ended:
            word_s = WORD_S if begun else ASK_S if tried else None
            if not await self._there(row, follow, None if told else word_s):
                told = True
                yield Waits(OUT_OF_REACH, offset)
                continue
            link = self._mesh.way_link(row.target)
            if link is None:
                raise unreachable(row)
            if not follow and (link in tried or (tried and loop.time() >= until)):
                raise silent(row)
            tried = {link} if follow else tried | {link}
            reading = _Reading(row.target, link, None if begun else until, follow)
            async for content in self._stream(reading, row, offset, tail, follow, since):
                if content is None:
                    if follow and not told and reading.waits:
                        told = True
                        yield Waits(NOTHING_COMES.format(WORD_S), offset)
                    continue
                raise_error(content)
                begun, told, tried = True, False, set()
                found = log_pieces.chunks_of(content)
                if found:
                    offset, tail = found[-1].next_offset, None
                    yield found
                ended = bool(content["end"])

    async def _there(self, row: SpawnRow, follow: bool, within: float | None) -> bool:
        """Wait until the target is linked and has the spawn; a request for its log must not overtake it.

        Returns:
            False where the seconds were over before.
        """
        changed = self._supervisor.growth.follow(row.id)
        self._waiting.add(changed)
        try:
            async with asyncio.timeout(within):
                while True:
                    changed.clear()
                    if not self._must_wait(row, await self._store.one(BY_ID, id=row.id), follow):
                        return True
                    await changed.wait()
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(changed)
            self._supervisor.growth.forget(row.id, changed)

    async def is_back(self, row: SpawnRow, within: float) -> bool:
        """Wait until there is a way to the target of what has ended; whether there is one in time."""
        changed = asyncio.Event()
        self._waiting.add(changed)
        try:
            async with asyncio.timeout(within):
                while not self._mesh.has_way(row.target):
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(changed)
        return True

    def _must_wait(self, row: SpawnRow, known: SpawnRow | None, follow: bool) -> bool:
        """`row` as it was when it was asked for: of a spawn of others nothing is kept here, its target had told it."""
        linked = self._mesh.has_way(row.target)
        if not linked:
            self._require(row.target)
        if not linked and (not follow or (known or row).state in TERMINAL):
            raise unreachable(known or row)
        return not linked or (known is not None and known.state is State.QUEUED and follow)

    async def _next(self, reading: _Reading) -> dict[str, Any] | None:
        """The next piece; None where the stream is broken off, or where it is silent as yet (`waits`)."""
        try:
            async with asyncio.timeout(reading.patience(asyncio.get_running_loop().time())):
                content = await reading.pieces.get()
        except TimeoutError:
            self._fell_silent(reading)
            return None
        reading.waits = False
        return content

    def _fell_silent(self, reading: _Reading) -> None:
        if reading.link.peer == reading.target:
            reading.asked = True  # its link ends where that is not answered
        elif reading.waits or not (reading.heard or reading.follows or reading.until is None):
            reading.broken = True
        else:
            reading.waits = True
            return
        self._mesh.fell_silent(reading.target, reading.link)

    async def _stream(
        self, reading: _Reading, row: SpawnRow, offset: int, tail: int | None, follow: bool, since: int | None
    ) -> AsyncIterator[dict[str, Any] | None]:
        """What comes on one stream, to its end or its break; None where it is silent."""
        stream, link = os.urandom(STREAM_BYTES), reading.link
        self._readings[stream] = reading
        ask = {"spawn": row.id, "stream": stream, "offset": offset, "follow": follow, "tail": tail, "since": since}
        by_piece = log_piecewise.Reader(link, stream) if log_piecewise.takes_pieces(link, row.target) else None
        if by_piece is not None:
            ask["room"] = log_piecewise.ROOM
        self._mesh.say_over(link, row.target, Kind.LOG_OPEN, ask)
        try:
            while (content := await self._next(reading)) is not None or not reading.broken:
                yield content
                if content is not None and by_piece is not None:
                    by_piece.has_read()
                if content is not None and content["end"]:
                    return
        finally:
            del self._readings[stream]
            way = link if self._mesh.stands(link) else self._mesh.way_link(row.target)
            if way is not None:
                self._mesh.say_over(way, row.target, Kind.LOG_CLOSE, {"stream": stream})

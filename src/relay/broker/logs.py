"""Transcripts for readers, here and elsewhere: from an offset, from the last lines, followed to the end.

A remote reader opens a stream with a random id of its own; the target sends numbered pieces as live envelopes,
dropped where there is no path. The reader resumes by offset, so that nothing is missed and nothing comes twice.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

from relay.broker import log_pieces
from relay.broker.attempt_logs import AttemptLogs
from relay.broker.gate import Gate
from relay.broker.inbox import Hear, Opened
from relay.broker.link import Link
from relay.broker.log_words import MAX_STREAMS, own_fault, raise_error, too_many, unreachable
from relay.broker.mesh import Mesh
from relay.core.errors import PeerFault, RelayError, Unreachable
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.log_places import attempt_of, start_of
from relay.core.states import TERMINAL, State
from relay.core.streams import STREAM_BYTES, stream_of
from relay.spawn.supervisor import Supervisor
from relay.spawn.transcript import Chunk
from relay.store.engine import Store
from relay.store.spawn_rows import BY_ID, SpawnRow

MAX_WAITING = 64
SILENCE_S = 15.0
_REQUEST = "a log request"
_log = logging.getLogger(__name__)


class LocalLogs:
    """Transcripts of this machine.

    Args:
        store: to know when a spawn has ended.
        supervisor: where the files are, and when they grow.
    """

    def __init__(self, store: Store, supervisor: Supervisor) -> None:
        self._store = store
        self._supervisor = supervisor
        self._attempts = AttemptLogs(store, supervisor.log_of)

    async def read(
        self, spawn: str, offset: int = 0, tail: int | None = None, follow: bool = False, since: int | None = None
    ) -> AsyncIterator[list[Chunk]]:
        """Pieces of a spawn's transcript, oldest first, from the present attempt on.

        Args:
            spawn: its id.
            offset: where to begin, from an earlier piece's `next_offset`: a place, which knows its attempt.
            tail: begin with the last so many lines instead.
            follow: go on until the spawn has ended, over its attempts, with a note between them.
            since: begin not long before this moment instead.
        """
        grown = self._supervisor.growth.follow(spawn)
        try:
            while True:
                grown.clear()
                row = await self._store.one(BY_ID, id=spawn)
                if row is None:
                    return
                if since is not None and not offset and tail is None:
                    offset, since = await self._attempts.first_since(row, since), None
                offset = offset or start_of(row.attempt)
                if tail is not None:
                    found, offset = await self._attempts.last_lines(row, tail)
                    tail = None
                    if not found:
                        continue
                else:
                    found = await self._attempts.read(spawn, offset)
                if found:
                    offset = found[-1].next_offset
                    yield found
                elif (follow or row.attempt > attempt_of(offset)) and (
                    note := await self._attempts.behind(row, offset)
                ) is not None:
                    offset = start_of(attempt_of(offset) + 1)
                    if note:
                        yield note
                elif row.state in TERMINAL or not follow:
                    return
                else:
                    await grown.wait()
        finally:
            self._supervisor.growth.forget(spawn, grown)


class LogServer:
    """Sends this machine's transcripts to brokers that may view them.

    Args:
        logs: the transcripts.
        store: to know whose a spawn is.
        gate: who may view it.
        mesh: where the pieces go.
        clock: milliseconds since 1970.
    """

    def __init__(
        self, logs: LocalLogs, store: Store, gate: Gate, mesh: Mesh, clock: Callable[[], int]
    ) -> None:
        self._logs = logs
        self._store = store
        self._gate = gate
        self._mesh = mesh
        self._clock = clock
        self._open: dict[tuple[BrokerId, bytes], asyncio.Task[None]] = {}

    @property
    def hears(self) -> dict[Kind, Hear]:
        """By kind."""
        return {Kind.LOG_OPEN: self._opened, Kind.LOG_CLOSE: self._closed}

    def _opened(self, each: Opened) -> None:
        content, origin = each.body.content, each.header.origin
        key = (origin, stream_of(content, _REQUEST))
        offset, tail, since = content["offset"], content.get("tail"), content.get("since")
        counts = [value for value in (offset, tail, since) if value is not None]
        if not all(type(value) is int and 0 <= value < 2**53 for value in counts):
            raise PeerFault("a log request was refused", why="it has another form")
        if key in self._open:
            return
        if sum(peer == origin for peer, _ in self._open) >= MAX_STREAMS:
            self._end(key, 0, too_many())
            return
        work = self._serve(key, str(content["spawn"]), offset or 0, tail, bool(content["follow"]), since)
        task = asyncio.get_running_loop().create_task(work)
        self._open[key] = task
        task.add_done_callback(lambda done: self._open.pop(key, None))

    def _closed(self, each: Opened) -> None:
        task = self._open.get((each.header.origin, stream_of(each.body.content, _REQUEST)))
        if task is not None:
            task.cancel()

    async def _serve(
        self, key: tuple[BrokerId, bytes], spawn: str, offset: int, tail: int | None, follow: bool, since: int | None
    ) -> None:
        origin, stream = key
        n = 0
        try:
            row = await self._store.one(BY_ID, id=spawn)
            if row is None:
                raise Unreachable("there is no such spawn here", hint="on that machine: relay ps --all")
            self._gate.require(origin, "view", row.origin == origin, self._clock())
            async for found in self._logs.read(spawn, offset, tail, follow, since):
                for batch in log_pieces.batches(found):
                    if not await self._send(origin, stream, n, batch):
                        return
                    n += 1
        except RelayError as error:
            self._end(key, n, error)
            return
        except Exception:
            # a defect of ours: the reader must not wait for ever
            _log.exception("serving a log failed")
            self._end(key, n, own_fault())
            return
        self._end(key, n)

    async def _send(self, origin: BrokerId, stream: bytes, n: int, batch: list[Chunk]) -> bool:
        link = self._mesh.way_link(origin)
        if link is None or not await link.room():
            return False
        plain = [[each.offset, each.next_offset, each.stream, each.at_ms, each.data] for each in batch]
        return self._say(origin, {"stream": stream, "n": n, "chunks": plain, "end": False})

    def _end(self, key: tuple[BrokerId, bytes], n: int, error: RelayError | None = None) -> None:
        told = {"error": error.to_json()} if error is not None else {}
        self._say(key[0], {"stream": key[1], "n": n, "chunks": [], "end": True} | told)

    def _say(self, origin: BrokerId, content: dict[str, Any]) -> bool:
        return self._mesh.say(origin, Kind.LOG_DATA, content)

    def close(self) -> None:
        """Stop serving."""
        for task in list(self._open.values()):
            task.cancel()


class _Reading:
    """One open stream of this reader."""

    def __init__(self, target: BrokerId, link: Link | None) -> None:
        self.target = target
        self.link = link
        self.expected = 0
        self.pieces: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(MAX_WAITING)
        self.broken = False
        self.heard = False


class LogClient:
    """Reads transcripts of other brokers.

    Args:
        mesh: where they come from.
        store: to know when a spawn has ended.
        supervisor: tells when there is a new word on one.
    """

    def __init__(self, mesh: Mesh, store: Store, supervisor: Supervisor) -> None:
        self._mesh = mesh
        self._store = store
        self._supervisor = supervisor
        self._readings: dict[bytes, _Reading] = {}
        self._waiting: set[asyncio.Event] = set()

    @property
    def hears(self) -> dict[Kind, Hear]:
        """By kind."""
        return {Kind.LOG_DATA: self._data}

    def link_changed(self) -> None:
        """A link came or went: streams over it are broken off, and opened again."""
        for waiting in self._waiting:
            waiting.set()
        for reading in self._readings.values():
            # whatever other way there is: its other end may be a broker that was started anew, and knows nothing of it;
            # and what was asked for on a way that led nowhere meanwhile is asked for again on the better one
            if reading.link is None or reading.link is not self._mesh.way_link(reading.target):
                self._break(reading)

    def _break(self, reading: _Reading) -> None:
        reading.broken = True
        while reading.pieces.full():
            reading.pieces.get_nowait()
        reading.pieces.put_nowait(None)

    def _data(self, each: Opened) -> None:
        content = each.body.content
        reading = self._readings.get(stream_of(content, _REQUEST))
        if reading is None or reading.target != each.header.origin or reading.broken:
            return
        if content["n"] != reading.expected or reading.pieces.full():
            # a piece was dropped, or this reader is too slow: open again where it stands
            self._break(reading)
            return
        reading.heard = True
        reading.expected += 1
        reading.pieces.put_nowait(content)

    async def read(
        self, row: SpawnRow, offset: int = 0, tail: int | None = None, follow: bool = False, since: int | None = None
    ) -> AsyncIterator[list[Chunk]]:
        """Pieces of a transcript that is elsewhere; as `LocalLogs.read`, over any number of broken links.

        Raises:
            Unreachable: there is no link, and nobody to wait for one.
            RelayError: the target refused.
        """
        ended = False
        while not ended:
            await self._there(row, follow)
            async for content in self._stream(row, offset, tail, follow, since):
                raise_error(content)
                found = log_pieces.chunks_of(content)
                if found:
                    offset, tail = found[-1].next_offset, None
                    yield found
                ended = bool(content["end"])

    async def _there(self, row: SpawnRow, follow: bool) -> None:
        """Wait until the target is linked and has the spawn; a request for its log must not overtake it."""
        changed = self._supervisor.growth.follow(row.id)
        self._waiting.add(changed)
        try:
            while True:
                changed.clear()
                now = await self._store.one(BY_ID, id=row.id)
                if now is None or not self._must_wait(now, follow):
                    return
                await changed.wait()
        finally:
            self._waiting.discard(changed)
            self._supervisor.growth.forget(row.id, changed)

    def _must_wait(self, row: SpawnRow, follow: bool) -> bool:
        linked = self._mesh.has_way(row.target)
        if not linked and (not follow or row.state in TERMINAL):
            raise unreachable(row)
        return not linked or (row.state is State.QUEUED and follow)

    async def _next(self, reading: _Reading) -> dict[str, Any] | None:
        """The next piece; None where the stream is broken off."""
        # over a holder nobody says that the other end went: after a while the stream is opened again where it stands
        direct = reading.link is not None and reading.link.peer == reading.target
        try:
            async with asyncio.timeout(None if direct else SILENCE_S):
                return await reading.pieces.get()
        except TimeoutError:
            return None

    async def _stream(
        self, row: SpawnRow, offset: int, tail: int | None, follow: bool, since: int | None
    ) -> AsyncIterator[dict[str, Any]]:
        stream = os.urandom(STREAM_BYTES)
        reading = self._readings[stream] = _Reading(row.target, self._mesh.way_link(row.target))
        ask = {"spawn": row.id, "stream": stream, "offset": offset, "follow": follow, "tail": tail, "since": since}
        self._mesh.say(row.target, Kind.LOG_OPEN, ask)
        try:
            while (content := await self._next(reading)) is not None:
                yield content
                if content["end"]:
                    return
            if not follow and not reading.heard:
                raise unreachable(row)
        finally:
            del self._readings[stream]
            self._mesh.say(row.target, Kind.LOG_CLOSE, {"stream": stream})

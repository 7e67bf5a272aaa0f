"""Transcripts of this machine for readers elsewhere: one stream for each, numbered pieces as live envelopes.

    log.open ─ pieces, numbered ─ the end, an error, or ─┬─ log.close of the reader
               nothing to show: an empty piece now and   ├─ the link it came by is no more
               then, which a reader that is gone answers └─ its reader's broker was started anew
               with a log.close

A reader's close may be lost with the link, so that nothing relies on it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from relay.broker import log_pieces, log_piecewise
from relay.broker.gate import Gate
from relay.broker.inbox import Hear, Opened
from relay.broker.link import Link
from relay.broker.log_piecewise import Room
from relay.broker.log_reading import LogClient
from relay.broker.log_words import MAX_STREAMS, REQUEST, own_fault, too_many
from relay.broker.logs import LocalLogs
from relay.broker.mesh import Mesh
from relay.broker.standing import Standing
from relay.core.errors import PeerFault, Refused, RelayError, Unreachable
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.streams import stream_of
from relay.spawn.transcript import Chunk
from relay.store.engine import Store
from relay.store.spawn_rows import BY_ID

ALIVE_S = 5.0
"""How often a stream with nothing to show says so over a holder, where nobody else tells that the other end went."""
ALIVE_DIRECT_S = 60.0
_log = logging.getLogger(__name__)


class LogServer:
    """Sends this machine's transcripts to brokers that may view them.

    Args:
        logs: the transcripts.
        store: to know whose a spawn is.
        gate: who may view it.
        mesh: where the pieces go.
        clock: milliseconds since 1970.
    """

    def __init__(self, logs: LocalLogs, store: Store, gate: Gate, mesh: Mesh, clock: Callable[[], int]) -> None:
        self._logs = logs
        self._store = store
        self._gate = gate
        self._mesh = mesh
        self._clock = clock
        self._open: dict[tuple[BrokerId, bytes], _Serving] = {}
        self._standing = Standing(gate, clock)
        self.grants_changed = self._standing.grants_changed
        mesh.on_piece[log_piecewise.READ] = self._was_read

    @property
    def hears(self) -> dict[Kind, Hear]:
        """By kind."""
        return {Kind.LOG_OPEN: self._opened, Kind.LOG_CLOSE: self._closed}

    def streams(self, reader: BrokerId) -> int:
        """How many streams a broker has open here."""
        return sum(origin == reader for origin, _ in self._open)

    def _opened(self, each: Opened) -> None:
        content, origin = each.body.content, each.header.origin
        key = (origin, stream_of(content, REQUEST))
        offset, tail, since = (content.get(name) for name in ("offset", "tail", "since"))
        if not all(type(value) is int and 0 <= value < 2**53 for value in (offset, tail, since) if value is not None):
            raise PeerFault("a log request was refused", why="it has another form")
        self._end_former(origin, each.header.incarnation)
        link = self._mesh.link(each.giver)
        if key in self._open or link is None:
            return
        room = log_piecewise.room_in(content) if log_piecewise.takes_pieces(link, origin) else None
        serving = _Serving(self._mesh, link, key, each.header.incarnation, room)
        if self.streams(origin) >= MAX_STREAMS:
            serving.end(too_many())
            return
        self._open[key] = serving
        work = self._serve(serving, str(content["spawn"]), bool(content["follow"]), offset or 0, tail, since)
        serving.begin(work, self._over)

    def _was_read(self, reader: BrokerId, content: dict[str, Any]) -> None:
        serving = self._open.get((reader, content["stream"]))
        if serving is not None and serving.room is not None:
            serving.room.read(content["ack"])

    def _over(self, serving: _Serving) -> None:
        if self._open.get(serving.key) is serving:
            del self._open[serving.key]

    def _end_former(self, reader: BrokerId, incarnation: int) -> None:
        """A broker that was started anew reads nothing of what it had asked for before."""
        for serving in list(self._open.values()):
            if serving.key[0] == reader and serving.incarnation < incarnation:
                self._drop(serving)

    def _closed(self, each: Opened) -> None:
        serving = self._open.get((each.header.origin, stream_of(each.body.content, REQUEST)))
        if serving is not None:
            self._drop(serving)

    def _drop(self, serving: _Serving) -> None:
        self._over(serving)
        serving.stop()

    def link_changed(self) -> None:
        """A link came or went: streams over one that is no more end, and their readers are told by another way."""
        for serving in list(self._open.values()):
            if not self._mesh.stands(serving.link):
                self._drop(serving)
                reader, stream = serving.key
                self._mesh.say(reader, Kind.LOG_CLOSE, {"stream": stream})

    async def _serve(
        self, serving: _Serving, spawn: str, follow: bool, offset: int, tail: int | None, since: int | None
    ) -> None:
        origin = serving.key[0]
        try:
            row = await self._store.one(BY_ID, id=spawn)
            if row is None:
                raise Unreachable("there is no such spawn here", hint="on that machine: relay ps --all")
            self._gate.require(origin, "view", row.origin == origin, self._clock())
            with self._standing.as_long_as(origin, "view", row.origin == origin, partial(self._refuse, serving)):
                async for found in self._logs.read(spawn, offset, tail, follow, since):
                    for batch in log_pieces.batches(found):
                        if not await serving.send(batch):
                            return
        except RelayError as error:
            serving.end(error)
            return
        except Exception:
            # a defect of ours: the reader must not wait for ever
            _log.exception("serving a log failed")
            serving.end(own_fault())
            return
        serving.end()

    def _refuse(self, serving: _Serving, refusal: Refused) -> None:
        serving.end(refusal)
        self._drop(serving)

    def close(self) -> None:
        """Stop serving."""
        for serving in list(self._open.values()):
            self._drop(serving)


class _Serving:
    """One open stream, bound to the link it was asked for over; in pieces where its reader told of a room for them."""

    def __init__(
        self, mesh: Mesh, link: Link, key: tuple[BrokerId, bytes], incarnation: int, room: int | None
    ) -> None:
        self.link = link
        self.key = key
        self.incarnation = incarnation
        self.room = None if room is None else Room(room)
        self._mesh = mesh
        self._n = 0
        self._loop = asyncio.get_running_loop()
        self._spoke = self._loop.time()
        self._alive: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def _every(self) -> float:
        return ALIVE_DIRECT_S if self.link.peer == self.key[0] else ALIVE_S

    def begin(self, work: Coroutine[Any, Any, None], over: Callable[[_Serving], None]) -> None:
        """Do the work; `over` is told when that is done."""
        self._task = self._loop.create_task(work)
        self._task.add_done_callback(lambda done: self._done(over))
        self._alive = self._loop.call_later(self._every, self._look)

    def _done(self, over: Callable[[_Serving], None]) -> None:
        self._rest()
        over(self)

    def stop(self) -> None:
        """Leave it as it is: nobody reads it any more."""
        self._rest()
        if self._task is not None:
            self._task.cancel()

    def _rest(self) -> None:
        if self._alive is not None:
            self._alive.cancel()
            self._alive = None

    def _look(self) -> None:
        quiet = self._loop.time() - self._spoke
        if quiet >= self._every * 0.9:
            self._say([])
            quiet = 0
        self._alive = self._loop.call_later(self._every - quiet, self._look)

    async def send(self, batch: list[Chunk]) -> bool:
        """Send a piece once there is room for it; False where the stream cannot go on."""
        if self.room is not None:
            await self.room.wait()
        if not await self.link.room():
            return False
        return self._say([[each.offset, each.next_offset, each.stream, each.at_ms, each.data] for each in batch])

    def end(self, error: RelayError | None = None) -> None:
        """Say that this was all, or why there is nothing."""
        told = {"error": error.to_json()} if error is not None else {}
        self._say([], {"end": True} | told)

    def _say(self, chunks: list[list[Any]], more: dict[str, Any] | None = None) -> bool:
        reader, stream = self.key
        self._spoke = self._loop.time()
        content = {"stream": stream, "n": self._n, "chunks": chunks, "end": False} | (more or {})
        said = self._say_over(reader, content)
        self._n += said
        return said

    def _say_over(self, reader: BrokerId, content: dict[str, Any]) -> bool:
        if self.room is None or (piece := log_piecewise.data_piece(content)) is None:
            return self._mesh.say_over(self.link, reader, Kind.LOG_DATA, content)
        said = self._mesh.stands(self.link) and self.link.say_piece(piece)
        if said:
            self.room.sent()
        return said


def log_hears(server: LogServer, client: LogClient) -> dict[Kind, Hear]:
    """What both ends of logs hear: either may close a stream, and each knows its own."""

    def closed(each: Opened) -> None:
        server.hears[Kind.LOG_CLOSE](each)
        client.hears[Kind.LOG_CLOSE](each)

    return server.hears | client.hears | {Kind.LOG_CLOSE: closed}

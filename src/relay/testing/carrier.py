"""The in-memory carrier: connections between brokers of one process, over a network that misbehaves by seed.

    MemoryNetwork ── dial ──► _Connection: two _Pipes, one each way ──► MemoryCarrier at either end

Nouns: *chaos* is how badly the network behaves, message by message; a *cut* loses a connection with all that was
on its way; a *partition* holds everything between two brokers back, so that a connection is half open while
neither side hears of it. What becomes of the k-th message of the n-th connection follows from the seed.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from relay.broker.carrier import Carrier, CarrierClosed, Ends
from relay.core import ids
from relay.core.errors import Unreachable
from relay.core.frames import MAX_FRAME
from relay.core.ids import BrokerId

HIGH_WATER = 1024 * 1024  # bytes on their way in one direction from which on `send` waits; the WebSocket's write limit
LOST = "the connection was lost"
CLOSED = "the connection was closed"
_OVERTAKEN_MS = 4.0
_APART_S = 1e-6  # timers of one moment fire in no order; these keep theirs

Welcome = Callable[[Carrier], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Chaos:
    """How badly a network behaves.

    Attributes:
        cut: the chance that a message loses the connection instead.
        duplicate: that it comes twice.
        reorder: that later ones overtake it.
        corrupt: that one of its bits is another.
        delay_ms: the longest a message is under way; 0 for none at all.
    """

    cut: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    delay_ms: float = 0.0


CALM = Chaos()


class _Pipe:
    """One direction of one connection. It ends for its two users apart: a half-open one has ended for one only."""

    def __init__(self, chaos: Callable[[], Chaos], seed: str) -> None:
        self.held = False
        self.on_cut: Callable[[], None]
        self.on_end: Callable[[], None]
        self._chaos = chaos
        self._random = random.Random(seed)
        self._loop = asyncio.get_running_loop()
        self._arrived: deque[bytes] = deque()
        self._kept: deque[bytes | None] = deque()
        self._timed = 0
        self._due = 0.0
        self._size = 0
        self._shut: str | None = None
        self._over: str | None = None
        self._room, self._news = asyncio.Event(), asyncio.Event()

    # at the sending end

    async def put(self, message: bytes) -> None:
        while self._shut is None and self._size >= HIGH_WATER:
            self._room.clear()
            await self._room.wait()
        if self._shut is not None:
            raise CarrierClosed(self._shut)
        for each in self._fate(message):
            self._size += len(each)
            self._set_out(each)

    def _fate(self, message: bytes) -> tuple[bytes, ...]:
        chaos = self._chaos()
        if chaos is CALM:
            return (message,)
        if self._random.random() < chaos.cut:
            self.on_cut()
            raise CarrierClosed(LOST)
        if self._random.random() < chaos.corrupt:
            message = self._bent(message)
        return (message, message) if self._random.random() < chaos.duplicate else (message,)

    def _bent(self, message: bytes) -> bytes:
        bent = bytearray(message)
        if bent:
            bent[self._random.randrange(len(bent))] ^= 1 << self._random.randrange(8)
        return bytes(bent)

    def _set_out(self, item: bytes | None) -> None:
        chaos = self._chaos()
        delay = self._random.random() * chaos.delay_ms if chaos.delay_ms else 0.0
        if item is not None and chaos.reorder and self._random.random() < chaos.reorder:
            self._arrive_at(self._loop.time() + (delay + self._random.random() * _OVERTAKEN_MS) / 1000, item)
        elif delay or self._timed:
            self._due = max(self._due + _APART_S, self._loop.time() + delay / 1000)
            self._arrive_at(self._due, item)
        else:
            self._arrive(item)

    def _arrive_at(self, when: float, item: bytes | None) -> None:
        self._timed += 1
        self._loop.call_at(when, self._timed_arrival, item)

    def _timed_arrival(self, item: bytes | None) -> None:
        self._timed -= 1
        self._arrive(item)

    def end(self) -> None:
        """The sender closed: the other side hears of it after all that is on its way."""
        if self._shut is None:
            self.shut(CLOSED)
            self._set_out(None)

    def shut(self, reason: str) -> None:
        """Nothing more may be sent."""
        self._shut = self._shut or reason
        self._room.set()

    # under way

    def _arrive(self, item: bytes | None) -> None:
        if self.held:
            self._kept.append(item)
        elif item is None:
            self.deafen(CLOSED, at_once=False)
            self.on_end()
        elif self._over is None:
            self._arrived.append(item)
            self._news.set()

    def release(self) -> None:
        """The partition is over."""
        self.held = False
        kept, self._kept = self._kept, deque()
        for item in kept:
            self._arrive(item)

    # at the receiving end

    async def take(self) -> bytes:
        while not self._arrived:
            if self._over is not None:
                raise CarrierClosed(self._over)
            self._news.clear()
            await self._news.wait()
        message = self._arrived.popleft()
        self._size -= len(message)
        self._room.set()
        return message

    def deafen(self, reason: str, *, at_once: bool = True) -> None:
        """Nothing more is received; `at_once` forgets also what has arrived."""
        self._over = self._over or reason
        if at_once:
            self._arrived.clear()
        self._news.set()


class _Connection:
    """Both pipes of one connection."""

    def __init__(self, chaos: Callable[[], Chaos], seed: str) -> None:
        self.there, self.back = _Pipe(chaos, seed + " there"), _Pipe(chaos, seed + " back")
        self.there.on_end = lambda: self.back.shut(CLOSED)
        self.back.on_end = lambda: self.there.shut(CLOSED)
        self.there.on_cut = self.back.on_cut = self.cut

    @property
    def pipes(self) -> tuple[_Pipe, _Pipe]:
        return self.there, self.back

    def cut(self, reason: str = LOST) -> None:
        """Lose it, for both sides, with all that was on its way."""
        for pipe in self.pipes:
            pipe.shut(reason)
            pipe.deafen(reason)


class MemoryCarrier:
    """One end of a connection in memory."""

    def __init__(self, connection: _Connection, peer_public: bytes, *, dialled: bool) -> None:
        self.peer_public = peer_public
        self.dialled = dialled
        self.address = "memory"
        self.ends: Ends | None = None
        self.is_former = False
        self.arrived = 0
        self.at_once: Callable[[bytes], None] | None = None
        self._connection = connection
        self._out, self._in = connection.pipes if dialled else connection.pipes[::-1]

    async def send(self, message: bytes) -> None:
        """Hand over one message; waits while a mebibyte is on its way."""
        await self._out.put(message)

    def send_now(self, message: bytes) -> bool:
        """Nothing goes at once here: chaos has each message in turn."""
        return False

    async def receive(self) -> bytes:
        """The next message."""
        message = await self._in.take()
        self.arrived += 1
        if len(message) > MAX_FRAME:
            self._connection.cut("a message was longer than a frame may be")
            raise CarrierClosed("a message was longer than a frame may be")
        return message

    async def close(self) -> None:
        """End the connection; what was sent before still arrives."""
        self._out.end()
        self._in.deafen(CLOSED)


def connected(dialler: bytes, listener: bytes, chaos: Chaos = CALM, seed: int = 0) -> tuple[Carrier, Carrier]:
    """Both ends of a fresh connection: the dialler's, the listener's.

    Args:
        dialler, listener: their raw Ed25519 keys.
        chaos: how badly it behaves.
        seed: what becomes of each message.
    """
    connection = _Connection(lambda: chaos, str(seed))
    return MemoryCarrier(connection, listener, dialled=True), MemoryCarrier(connection, dialler, dialled=False)


class MemoryNetwork:
    """Brokers of one process that can dial each other. Used from one event loop.

    Args:
        chaos: how badly it behaves; may be set anew at any time.
        seed: what becomes of each message.

    Attributes:
        dials: how many connections were made.
        failures: what links raised that must never escape them.
    """

    def __init__(self, chaos: Chaos = CALM, seed: int = 0) -> None:
        self.chaos = chaos
        self.dials = 0
        self.failures: list[BaseException] = []
        self._seed = seed
        self._listeners: dict[BrokerId, tuple[bytes, Welcome]] = {}
        self._connections: list[tuple[frozenset[BrokerId], _Connection]] = []
        self._parted: set[frozenset[BrokerId]] = set()
        self._work: set[asyncio.Task[Any]] = set()

    def listen(self, public: bytes, welcome: Welcome) -> None:
        """Take connections to the holder of this key in."""
        self._listeners[ids.broker_id(public)] = (public, welcome)

    def leave(self, broker: BrokerId) -> None:
        """Take no more in, and lose what there is; of what a partition holds, the other side does not hear."""
        self._listeners.pop(broker, None)
        for pair, connection in self._connections:
            if broker in pair and not connection.there.held:
                connection.cut()

    async def dial(self, own_public: bytes, peer: BrokerId) -> Carrier:
        """A connection to a broker.

        Raises:
            Unreachable: it does not listen, or a partition stands between.
        """
        await asyncio.sleep(0)
        pair = frozenset((ids.broker_id(own_public), peer))
        if peer not in self._listeners or pair in self._parted:
            raise Unreachable("it does not answer", why="nobody listens there, or a partition stands between")
        public, welcome = self._listeners[peer]
        self.dials += 1
        connection = _Connection(lambda: self.chaos, f"{self._seed} {self.dials}")
        self._connections.append((pair, connection))
        self._go(welcome(MemoryCarrier(connection, own_public, dialled=False)))
        return MemoryCarrier(connection, public, dialled=True)

    def _go(self, work: Awaitable[None]) -> None:
        assert isinstance(work, Coroutine)
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._work.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)

    def _between(self, one: BrokerId, other: BrokerId) -> list[_Connection]:
        return [connection for pair, connection in self._connections if pair == {one, other}]

    def cut(self, one: BrokerId, other: BrokerId) -> None:
        """Lose every connection between two brokers."""
        for connection in self._between(one, other):
            connection.cut()

    def partition(self, one: BrokerId, other: BrokerId) -> None:
        """From now on nothing passes between two brokers, and neither hears of it."""
        self._parted.add(frozenset((one, other)))
        for connection in self._between(one, other):
            for pipe in connection.pipes:
                pipe.held = True

    def heal(self, one: BrokerId, other: BrokerId) -> None:
        """The partition is over: what was held back arrives, where the connection still stands."""
        self._parted.discard(frozenset((one, other)))
        for connection in self._between(one, other):
            for pipe in connection.pipes:
                pipe.release()

    async def close(self) -> None:
        """Lose every connection and wait for the links over them to end."""
        for _, connection in self._connections:
            connection.cut()
        await asyncio.gather(*self._work, return_exceptions=True)

"""The broker's side of a task's door: typing into it, sizing its terminal, watching what it shows.

A feed is known to the shim by its source and a number that grows, so that a caller who does not know whether it got
there says it again with the same number. The shim remembers for as long as the task lives.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from relay.core.errors import Code, LocalFault, Misuse
from relay.core.values import frozen
from relay.spawn.attempt import Attempt
from relay.spawn.shim import callers as wire
from relay.spawn.shim.direct import pack_offer

SENDS = bytes(16)
"""The source of what was sent durably; its numbers are the store's."""
MOST = wire.MOST
LONGEST_PATH = 100
OPENING_S = 5.0
_LOOK_AGAIN_S = 0.02
_PORT_S = 3.0
"""How long a shim has to say where it listens for a direct way; one of another version never does."""
AHEAD = 32
"""Feeds that may be under way at once."""
MOST_SHOWN = 16
"""Pieces of output, of 64 KiB at most, that wait for a watcher before the shim is read no more."""
Answered = Callable[[bool], None]


class DoorShut(LocalFault):
    """The task takes no input: it closed it, it has ended, or it was started without."""

    default_code = Code.INPUT_CLOSED


class InputClosed(DoorShut):
    """The task has closed its input, for good: its shim says so. The others may be for want of room at the door."""


@frozen
class Shown:
    """Output of the task between two offsets of its log; both are 0 where some was left out, and the log has it."""

    start: int
    end: int
    data: bytes


GAP = Shown(0, 0, b"")


class Door(asyncio.Protocol):
    """One connection to a task's door. Made by `opened`.

    Attributes:
        at_once: asked to take what is shown as it comes, while `watch` waits and nothing stands before it; where it
            returns False, `watch` has it.
        over: set when the task has ended, or its shim.
    """

    def __init__(self) -> None:
        self.at_once: Callable[[Shown], bool] | None = None
        self._transport: asyncio.Transport
        self._came = bytearray()
        self._answers: deque[Answered] = deque()
        self._shown: deque[Shown] = deque()
        self._news = asyncio.Event()
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._is_watching = self._is_lost = self._is_paused = self._rests = False
        self._port: asyncio.Future[int] | None = None
        self._asked = 0
        self.over = asyncio.Event()

    async def feed(self, n: int, data: bytes, source: bytes = SENDS) -> None:
        """Type `data` into the task, once for each `source` and `n`; returns when the shim has it.

        Args:
            n: greater than that of every earlier feed of this source; the same again for the same bytes.
            data: at most 256 KiB.
            source: 16 bytes that name who counts.

        Raises:
            DoorShut: the task takes no input any more.
            Misuse: too many bytes.
        """
        if len(data) > MOST:
            raise Misuse(
                "the input is too long",
                code=Code.BAD_TASK,
                why=f"at most {MOST} bytes go in at once",
                hint="send it in parts, or as a file: relay blob send",
            )
        await self._ask(wire.FEED, source, n, data)

    def feed_now(self, n: int, data: bytes, source: bytes, answered: Answered) -> bool:
        """As `feed`, without waiting; False, and nothing is done, where it would have to.

        Args:
            n, data, source: as `feed` has them.
            answered: told whether the task takes input, when the shim has it; also where the door is lost.
        """
        if self._is_lost or not self._may_write.is_set() or len(data) > MOST or len(self._answers) >= AHEAD:
            return False
        self._answers.append(answered)
        self._read_on()
        self._send(wire.FEED, source, n, data)
        return True

    async def end(self, n: int, source: bytes = SENDS) -> None:
        """End the task's input; on a terminal, type what means that."""
        await self._ask(wire.END, source, n, b"")

    async def resize(self, rows: int, columns: int) -> None:
        """Set the size of the task's terminal; without one nothing happens."""
        await self._writable()
        self._send(wire.SIZE, SENDS, 0, wire.SIZE_FORM.pack(rows, columns))

    async def watch(self) -> AsyncIterator[Shown]:
        """What the task shows from now on, to its end or a `rest`; first a gap, when the shim has begun to show."""
        self._rests = False
        self._shown.clear()
        await self._writable()
        self._send(wire.WATCH, SENDS, 0, b"")
        while await self._has_shown():
            yield self._shown.popleft()
            if len(self._shown) <= MOST_SHOWN // 2:
                self._read_on()

    async def _has_shown(self) -> bool:
        self._is_watching = True
        try:
            while not self._shown and not self._is_lost and not self._rests:
                self._news.clear()
                await self._news.wait()
        finally:
            self._is_watching = False
        return bool(self._shown) and not self._rests

    def rest(self) -> None:
        """Be shown nothing more, until `watch` is asked again."""
        self._rests = True
        self._news.set()
        self._read_on()
        self._send(wire.REST, SENDS, 0, b"")

    async def direct(self, address: str, secret: bytes, pem: bytes, source: bytes | None) -> int | None:
        """Have the shim listen for one who comes past this broker; the port, None where it cannot.

        The way is open as long as this door is, or until `direct_over`, or the next of these.

        Args:
            address: of this machine, numeric.
            secret: 32 bytes that show who may come.
            pem: a certificate and its key, of this way alone.
            source: what may be typed under; None where nothing may.
        """
        await self._writable()
        port = self._port = asyncio.get_running_loop().create_future()
        self._read_on()
        self._asked += 1
        self._send(wire.DIRECT, source or wire.NOBODY, self._asked, pack_offer(secret, address, pem))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PORT_S):
                return await port or None
        return None

    def direct_over(self) -> None:
        """End the direct way by which somebody came, or was to come."""
        if not self._is_lost:
            self._send(wire.DIRECT, wire.NOBODY, 0, b"")

    def close(self) -> None:
        """Leave."""
        self._transport.close()

    def _send(self, kind: int, source: bytes, n: int, data: bytes) -> None:
        self._transport.write(wire.HEAD.pack(kind, source, n, len(data)) + data)

    async def _writable(self) -> None:
        await self._may_write.wait()
        if self._is_lost:
            raise _gone()

    async def _ask(self, kind: int, source: bytes, n: int, data: bytes) -> None:
        await self._writable()
        takes: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._answers.append(lambda answer: None if takes.done() else takes.set_result(answer))
        self._read_on()
        self._send(kind, source, n, data)
        if not await takes:
            if self._is_lost:
                raise _gone()
            why, hint = "the task has closed its standard input", "relay logs ID -f   shows what it does"
            raise InputClosed("it takes no input any more", why=why, hint=hint)

    # what the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._is_lost = True
        self._news.set()
        self.over.set()
        self._may_write.set()
        if self._port is not None and not self._port.done():
            self._port.set_result(0)
        while self._answers:
            self._answers.popleft()(False)

    def pause_writing(self) -> None:
        """The shim does not read now."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """It reads again."""
        self._may_write.set()

    def data_received(self, data: bytes) -> None:
        """The shim says something."""
        self._came += data
        at, size = 0, wire.REPLY.size
        while len(self._came) - at >= size:
            kind, start, end, length = wire.REPLY.unpack_from(self._came, at)
            if len(self._came) - at - size < length:
                break
            at += size + length
            self._hear(kind, start, end, bytes(self._came[at - length : at]))
        del self._came[:at]

    def _hear(self, kind: int, start: int, end: int, data: bytes) -> None:
        if kind == wire.PORT:
            if self._port is not None and not self._port.done() and end == self._asked:
                self._port.set_result(start)
            return
        if kind != wire.SHOWN:
            if self._answers:
                self._answers.popleft()(kind == wire.TAKEN)
            return
        if self._rests:
            return
        shown = Shown(start, end, data)
        if self.at_once is not None and self._is_watching and not self._shown and self.at_once(shown):
            return
        self._news.set()
        if len(self._shown) < MOST_SHOWN:
            self._shown.append(shown)
        elif self._answers:
            # who types and does not look goes on typing: its answers come behind what is shown, which the log has too
            if self._shown[-1] != GAP:
                self._shown.append(GAP)
        else:
            self._shown.append(shown)
            self._is_paused = True
            self._transport.pause_reading()

    def _read_on(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()


@contextlib.asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Door]:
    """The door of the attempt in `folder`; waits up to 5 s for a task that is being started.

    Raises:
        DoorShut: it has none, or has ended.
    """
    door = await _connected(folder)
    try:
        yield door
    finally:
        door.close()


async def feed(folder: Path, n: int, data: bytes, source: bytes = SENDS) -> None:
    """Type `data` into the task of the attempt in `folder`, once for each `source` and `n`; as `Door.feed`."""
    async with opened(folder) as door:
        await door.feed(n, data, source)


async def resize(folder: Path, rows: int, columns: int) -> None:
    """Set the size of the terminal of the attempt in `folder`; as `Door.resize`."""
    async with opened(folder) as door:
        await door.resize(rows, columns)


async def _connected(folder: Path) -> Door:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + OPENING_S
    while True:
        # looked at first: what was past its exec before the door was tried, and has none, was given none
        over = _has_its_door_or_none(folder) or loop.time() > deadline
        try:
            with _short(folder / wire.DOOR) as path:
                return (await loop.create_unix_connection(Door, path))[1]
        except (ConnectionRefusedError, FileNotFoundError):
            if over:
                raise _gone() from None
        await asyncio.sleep(_LOOK_AGAIN_S)


def _has_its_door_or_none(folder: Path) -> bool:
    """Whether the attempt is past its exec, or over: the door is opened before the task is released to it."""
    now = Attempt(folder).read()
    return now.started is not None or now.exit is not None or now.fenced


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """A path to the same place that a socket's address has room for (107 bytes)."""
    if len(os.fsencode(path)) <= LONGEST_PATH:
        yield str(path)
        return
    with tempfile.TemporaryDirectory(prefix="relay-") as near:
        os.symlink(path.parent, f"{near}/a")
        yield f"{near}/a/{path.name}"


def _gone() -> DoorShut:
    return DoorShut(
        "it takes no input",
        why="it has ended, or was started without --tty or --stdin",
        hint="relay show ID   says how it stands",
    )

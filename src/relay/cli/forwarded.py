"""Connections to this machine's loopback, each carried to a task's port over the control socket."""

from __future__ import annotations

import asyncio
import contextlib

from relay.api import http1
from relay.api.breaking import break_off
from relay.api.client import broke_off, document, no_broker, trusted_socket
from relay.api.duplex import ANSWER_S, LENGTH, chunk, head
from relay.api.silence import too_slow
from relay.cli import speech
from relay.cli.clean import clean
from relay.core.errors import RelayError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from relay.api.home import Home

PIECE = 32 * 1024
READ_BYTES = 64 * 1024
REST_S = 60.0
FLUSH_S = 10.0


class Line:
    """One connection to a task's port."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, early: list[bytes]) -> None:
        self._reader = reader
        self._writer = writer
        self._early = early
        self.response = http1.Response()

    async def send(self, data: bytes) -> None:
        """Send a piece; an empty one ends this direction."""
        self._writer.write(chunk(LENGTH.pack(len(data)) + data))
        await self._writer.drain()

    async def pieces(self) -> AsyncIterator[bytes]:
        """What comes, an empty piece for the end of that direction.

        Raises:
            ConnectionError: it was broken off.
        """
        buffer = bytearray(b"".join(self._early))
        ended = False
        while True:
            while len(buffer) >= LENGTH.size and len(buffer) >= (end := LENGTH.size + LENGTH.unpack_from(buffer)[0]):
                piece = bytes(buffer[LENGTH.size : end])
                del buffer[:end]
                ended = ended or not piece
                yield piece
            if self.response.done:
                break
            for each in await heard(self._reader, self.response):
                buffer += each
        if not ended:
            raise ConnectionResetError("it was broken off")

    def close(self) -> None:
        """Leave; where a direction was not ended, that breaks it off."""
        self._writer.close()


async def heard(reader: asyncio.StreamReader, response: http1.Response) -> list[bytes]:
    """The next pieces of an answer.

    Raises:
        ConnectionError: the broker is gone.
    """
    data = await reader.read(READ_BYTES)
    if not data:
        raise ConnectionResetError("the broker is gone")
    return response.feed(data)


class Way:
    """The way to one port of a task.

    Args:
        home: whose broker.
        spawn: its id.
        port: on the loopback of its machine.
    """

    def __init__(self, home: Home, spawn: str, port: int) -> None:
        self._home = home
        self._path = f"spawns/{http1.quoted(spawn)}/forward?port={port}"
        self._told = ""
        self._carrying: set[asyncio.Task[None]] = set()
        self._bringing: set[asyncio.Task[None]] = set()

    async def open(self, look: bool = False) -> Line:
        """A connection to the port.

        Args:
            look: only find out whether one could be made: a server of one connection would take it for the one.

        Raises:
            RelayError: it is refused, or cannot be reached.
        """
        try:
            reader, writer = await asyncio.open_unix_connection(trusted_socket(self._home))
        except OSError as fault:
            raise no_broker(self._home, fault) from fault
        early: list[bytes] = []
        line = Line(reader, writer, early)
        try:
            writer.write(head(self._path + ("&look=1" if look else "")))
            async with asyncio.timeout(ANSWER_S):
                await self._answered(reader, line.response, early)
        except TimeoutError as fault:
            writer.close()
            raise too_slow(self._home) from fault
        except BaseException:
            writer.close()
            raise
        return line

    async def _answered(self, reader: asyncio.StreamReader, response: http1.Response, early: list[bytes]) -> None:
        try:
            while not response.status or (response.status >= 400 and not response.done):
                early += await heard(reader, response)
        except (OSError, http1.BadAnswer) as fault:
            raise broke_off(self._home, str(fault)) from fault
        if response.status >= 400:
            document(response.status, b"".join(early), self._home)

    def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry a new connection of this machine."""
        # kept here: the loop knows a task whose streams are all paused by weak references only
        task = asyncio.get_running_loop().create_task(self._carry(reader, writer))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until both directions have ended, or one broke."""
        try:
            line = await self.open()
        except RelayError as fault:
            self._say(fault)
            break_off(writer)
            return
        try:
            await self._both(line, reader, writer)
        except* (OSError, http1.BadAnswer):
            break_off(writer)
        finally:
            line.close()
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await writer.wait_closed()

    async def rest(self) -> None:
        """The task has ended: let each connection have what it had said by then."""
        if self._bringing:
            await asyncio.wait(self._bringing, timeout=REST_S)

    async def _both(self, line: Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(_up(line, reader))
            bringing = group.create_task(_down(line, writer))
            self._bringing.add(bringing)
            bringing.add_done_callback(self._bringing.discard)

    def _say(self, fault: RelayError) -> None:
        text = clean(fault.message + (f": {fault.why}" if fault.why else ""))
        if text != self._told:
            self._told = text
            speech.note(text)


async def _up(line: Line, reader: asyncio.StreamReader) -> None:
    while data := await reader.read(PIECE):
        await line.send(data)
    await line.send(b"")


async def _down(line: Line, writer: asyncio.StreamWriter) -> None:
    async for piece in line.pieces():
        if piece:
            writer.write(piece)
            await writer.drain()
        elif writer.can_write_eof():
            writer.write_eof()

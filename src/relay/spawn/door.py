"""The broker's side of a task's door: typing into it, sizing its terminal, watching what it shows.

A feed is known to the shim by its source and a number that grows, so that a caller who does not know whether it got
there says it again with the same number. The shim remembers for as long as the task lives.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from relay.core.errors import Code, LocalFault, Misuse
from relay.core.values import frozen
from relay.spawn.attempt import Attempt
from relay.spawn.shim import door as wire

SENDS = bytes(16)
"""The source of what was sent durably; its numbers are the store's."""
MOST = wire.MOST
LONGEST_PATH = 100
OPENING_S = 5.0
_LOOK_AGAIN_S = 0.02


class DoorShut(LocalFault):
    """The task takes no input: it closed it, it has ended, or it was started without."""

    default_code = Code.INPUT_CLOSED


@frozen
class Shown:
    """Output of the task between two offsets of its log; both are 0 where some was left out, and the log has it."""

    start: int
    end: int
    data: bytes


class Door:
    """One connection to a task's door, for one caller at a time. Made by `opened`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

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

    async def end(self, n: int, source: bytes = SENDS) -> None:
        """End the task's input; on a terminal, type what means that."""
        await self._ask(wire.END, source, n, b"")

    async def resize(self, rows: int, columns: int) -> None:
        """Set the size of the task's terminal; without one nothing happens."""
        self._send(wire.SIZE, SENDS, 0, wire.SIZE_FORM.pack(rows, columns))
        await self._drained()

    async def watch(self) -> AsyncIterator[Shown]:
        """What the task shows from now on, to its end; first of all a gap, when the shim has begun to show.

        Nothing else may be asked on this connection meanwhile.
        """
        self._send(wire.WATCH, SENDS, 0, b"")
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                kind, start, end, data = await self._answer()
                if kind == wire.SHOWN:
                    yield Shown(start, end, data)

    def close(self) -> None:
        """Leave."""
        self._writer.close()

    def _send(self, kind: int, source: bytes, n: int, data: bytes) -> None:
        self._writer.write(wire.HEAD.pack(kind, source, n, len(data)) + data)

    async def _drained(self) -> None:
        try:
            await self._writer.drain()
        except OSError:
            raise _gone() from None

    async def _ask(self, kind: int, source: bytes, n: int, data: bytes) -> None:
        try:
            self._send(kind, source, n, data)
            await self._writer.drain()
            answer, *_ = await self._answer()
        except (OSError, asyncio.IncompleteReadError):
            raise _gone() from None
        if answer == wire.SHUT:
            why, hint = "the task has closed its standard input", "relay logs ID -f shows what it does"
            raise DoorShut("it takes no input any more", why=why, hint=hint)

    async def _answer(self) -> tuple[int, int, int, bytes]:
        kind, start, end, length = wire.REPLY.unpack(await self._reader.readexactly(wire.REPLY.size))
        return kind, start, end, await self._reader.readexactly(length)


@contextlib.asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Door]:
    """The door of the attempt in `folder`; waits up to 5 s for a task that is being started.

    Raises:
        DoorShut: it has none, or has ended.
    """
    door = Door(*await _connected(folder))
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


async def _connected(folder: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + OPENING_S
    while True:
        # looked at first: what was past its exec before the door was tried, and has none, was given none
        over = _has_its_door_or_none(folder) or loop.time() > deadline
        try:
            with _short(folder / wire.DOOR) as path:
                return await asyncio.open_unix_connection(path)
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
        hint="relay show ID says how it stands",
    )

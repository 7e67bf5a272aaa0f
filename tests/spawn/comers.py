"""Who comes to a task by a direct way."""

from __future__ import annotations

import asyncio
import contextlib
import select
import time
from typing import TYPE_CHECKING

from relay.api.direct import DirectLine, Frame
from relay.spawn import door
from relay.spawn.shim import callers as wire
from relay.trust.direct_key import DirectKey, direct_key

from .yard import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HERE = "127.0.0.1"
TYPIST = b"typist".ljust(16, b".")


class Person:
    """One who has come by a direct way; reads only when it is looked at."""

    def __init__(self, port: int, pin: bytes, secret: bytes) -> None:
        self.line = DirectLine(HERE, port, pin, secret)
        self.frames: list[Frame] = []
        self.is_over = False
        self.n = 0

    def turn(self, waits_s: float = 0.0) -> None:
        if self.is_over:
            return
        line = self.line
        full = [line] if line.wants_to_write else []
        ready, room, _ = select.select([line], full, [], waits_s)
        if not ready and not room:
            return
        try:
            if not line.is_open:
                line.go_on()
            else:
                line.push()
                self.frames += line.receive()
        except OSError:
            self.is_over = True
            line.close()

    async def until(self, kind: int, within_s: float = 30.0) -> Frame:
        """The next frame of a kind, those before it forgotten."""
        deadline = time.monotonic() + within_s
        while True:
            while self.frames:
                frame = self.frames.pop(0)
                if frame[0] == kind:
                    return frame
            assert not self.is_over and time.monotonic() < deadline
            self.turn()
            await asyncio.sleep(0.002)

    async def opened(self) -> Person:
        while not self.line.is_open:
            assert not self.is_over
            self.turn()
            await asyncio.sleep(0.002)
        self.say(wire.WATCH, wire.NOBODY, b"")
        await self.until(wire.HERE)
        return self

    def say(self, kind: int, source: bytes, data: bytes) -> None:
        self.n += 1
        self.line.say(kind, source, self.n, data)

    async def ends(self, within_s: float = 30.0) -> None:
        """Wait until it was sent away."""

        def over() -> bool:
            self.turn()
            return self.is_over

        await until(over, within_s)


async def offered(opened: door.Door, source: bytes | None = TYPIST) -> tuple[int, DirectKey]:
    key = direct_key()
    port = await opened.direct(HERE, key.secret, key.pem, source)
    assert port is not None
    return port, key


@contextlib.asynccontextmanager
async def come(opened: door.Door, source: bytes | None = TYPIST) -> AsyncIterator[Person]:
    port, key = await offered(opened, source)
    person = await Person(port, key.pin, key.secret).opened()
    try:
        yield person
    finally:
        person.line.close()

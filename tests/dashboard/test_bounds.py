"""What a reader costs that does not read, and how many may be there at once."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import TYPE_CHECKING

import pytest
import websockets

from relay.broker.control.embedding import Embedded
from relay.dashboard import protocols
from relay.dashboard.listener import bind
from relay.dashboard.protocols import PatientSocket
from relay.dashboard.sockets import FIRST_S, MOST_UNKNOWN, TOO_MANY
from tests.dashboard.browser import Browser, Socket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Receive, Scope, Send

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
MESSAGE = "x" * 10_000
MOST_TAKEN = 32 * 2**20  # what the kernel keeps for both ends of a connection of loopback, and far less than for ever


class _Soon(PatientSocket):
    stalled_s = 0.2


class _Talking:
    """An application that tells a socket more than anybody reads.

    Attributes:
        sent: bytes so far.
        ended: it was told that nobody is there.
    """

    def __init__(self) -> None:
        self.sent = 0
        self.ended = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "text": MESSAGE})
                self.sent += len(MESSAGE)
        finally:
            self.ended.set()


@contextlib.asynccontextmanager
async def _deaf(talking: _Talking, kind: type[PatientSocket]) -> AsyncIterator[Embedded]:
    """A server, and one connection to it of which nothing but the beginning is read."""
    listening = bind((0,))
    server = Embedded(talking, listening, **(protocols.SETTINGS | {"ws": kind}))
    await server.start()
    with contextlib.closing(socket.create_connection(listening.getsockname())) as deaf:
        head = f"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\n"
        deaf.sendall(f"{head}Sec-WebSocket-Version: 13\r\n\r\n".encode())
        await asyncio.to_thread(deaf.recv, 1)
        yield server
    await server.close()


async def test_a_reader_that_does_not_read_is_cut_off_and_costs_no_more_than_what_the_kernel_keeps() -> None:
    talking = _Talking()
    async with _deaf(talking, _Soon), asyncio.timeout(30):
        await talking.ended.wait()
    assert 0 < talking.sent < MOST_TAKEN


async def test_a_stop_does_not_wait_for_a_reader_that_does_not_read() -> None:
    talking = _Talking()
    async with _deaf(talking, PatientSocket) as server:
        before = time.monotonic()
        await server.close()
        assert time.monotonic() - before < 5.0  # as long as a broker's stop may take; it would be 20 s
        assert talking.ended.is_set()


async def test_sockets_that_said_nothing_do_not_add_up(browser: Browser) -> None:
    """A seventeenth is turned away; who has shown a token is not in their number."""
    async with contextlib.AsyncExitStack() as stack:
        known = await stack.enter_async_context(browser.events())
        await known.next()
        for _ in range(3):
            began = time.monotonic()
            code = await _of_one_too_many(browser)
            if time.monotonic() - began < FIRST_S:
                break  # else the first of them were gone before the last one came
        assert code == TOO_MANY
    async with asyncio.timeout(30):
        await _heard(browser)


async def _of_one_too_many(browser: Browser) -> int | None:
    """How the last one is closed."""
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(MOST_UNKNOWN):
            await stack.enter_async_context(browser.socket(browser.origin))
        turned_away: Socket = await stack.enter_async_context(browser.socket(browser.origin))
        return await turned_away.closing()


async def _heard(browser: Browser) -> None:
    """Once the others have left."""
    kind = ""
    while kind != "hello":
        with contextlib.suppress(websockets.ConnectionClosed):
            async with browser.events() as events:
                kind = (await events.next())["kind"]


def test_a_port_that_is_taken_is_not_waited_for() -> None:
    with contextlib.closing(bind((0,))) as first:
        taken = first.getsockname()[1]
        with contextlib.closing(bind((taken, 0))) as second:
            assert second.getsockname()[0] == "127.0.0.1"
            assert second.getsockname()[1] not in (0, taken)
        with pytest.raises(Exception, match="cannot listen"):
            bind((taken,))

"""Serving `relay forward`: connections to a port on this machine's loopback, while a task runs, and no longer."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from relay.api.breaking import break_off
from relay.broker import listening_ports as listening
from relay.broker.channel import Conversation, Message
from relay.broker.hub import Hub
from relay.broker.rights import Rights
from relay.broker.together import Together
from relay.core.errors import Code, Misuse, PeerFault, Unreachable
from relay.core.ids import BrokerId
from relay.core.states import IN_HAND, TERMINAL
from relay.store.spawn_rows import SpawnRow

LOOPBACK = ("127.0.0.1", "::1")
PIECE = 32 * 1024
CONNECT_S = 10.0
LOOK_S = 60.0
REST_S, STALLED_S = 1.0, 60.0
FORWARD = "forward"


class ForwardServer:
    """Serves connections to ports of this machine's loopback.

    Args:
        rights: who may.
        hub: tells when a task has ended.
    """

    def __init__(self, rights: Rights, hub: Hub) -> None:
        self._rights = rights
        self._hub = hub

    async def serve(self, channel: Conversation, origin: BrokerId, spawn: str, ask: Message) -> None:
        """Serve one connection until both sides are done, or the task has ended; or say that one could be made.

        Raises:
            RelayError: it may not, the task does not run, nothing listens there, or it broke.
        """
        port = port_of(ask)
        row = await self._rights.row(spawn)
        with self._rights.served(channel, origin, FORWARD, row):
            await self._serve(channel, origin, row, port, ask)

    async def _serve(self, channel: Conversation, origin: BrokerId, row: SpawnRow, port: int, ask: Message) -> None:
        await self._rights.ask(origin, FORWARD, row, f"{row.id} {row.name} port {port}")
        if row.state not in IN_HAND:
            raise _not_running(row)
        if ask.get("look") is True:
            if await asyncio.to_thread(listening.hears, port) is False:
                raise _nobody(port)
            await channel.send({"k": "open"})
            return
        reader, writer = await _connected(port)
        try:
            await channel.send({"k": "open"})
            await self._carry(channel, reader, writer, row)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _carry(
        self, channel: Conversation, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, row: SpawnRow
    ) -> None:
        flow = Flow()
        both = asyncio.ensure_future(_both(channel, reader, writer, flow))
        ended = asyncio.ensure_future(self._ended(row))
        try:
            await asyncio.wait((both, ended), return_when=asyncio.FIRST_COMPLETED)
            await _said(both, flow)
            if not both.done() and not flow.is_whole:
                break_off(writer)
                raise Unreachable("the connection was ended", why=f"{row.name} has ended", hint=f"relay show {row.id}")
            if both.done():
                both.result()
        finally:
            both.cancel()
            ended.cancel()
            await asyncio.gather(both, ended, return_exceptions=True)

    async def _ended(self, row: SpawnRow) -> None:
        with self._hub.watching(row.id) as watch:
            while (await self._rights.row(row.id)).state not in TERMINAL:
                await watch.next(LOOK_S)


def port_of(ask: Message) -> int:
    """The port that a request to forward names.

    Raises:
        PeerFault: it names none.
    """
    port = ask.get("port")
    if type(port) is not int or not 0 < port < 65536:
        raise PeerFault("a request to forward was refused", why="it names no port")
    return port


@dataclass(slots=True)
class Flow:
    """How what a task says on one connection goes on: pieces sent, whether one is being sent, whether all was."""

    pieces: int = 0
    is_sending: bool = False
    is_whole: bool = False


async def _said(both: asyncio.Future[None], flow: Flow) -> None:
    """Wait while what a task had said before its end goes on to a slow reader: it is all in this machine by then."""
    stalled_s = 0.0
    while not (both.done() or flow.is_whole) and stalled_s < (STALLED_S if flow.is_sending else REST_S):
        before = flow.pieces
        await asyncio.wait((both,), timeout=REST_S)
        stalled_s = 0.0 if flow.pieces != before else stalled_s + REST_S


async def _both(
    channel: Conversation, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flow: Flow
) -> None:
    broken: BaseException | None = None
    try:
        async with Together() as group:
            group.create_task(from_stream(channel, reader, flow))
            group.create_task(to_stream(channel, writer))
    except* OSError as faults:
        broken = Unreachable(
            "the connection broke off over there",
            why=str(faults.exceptions[0]),
            hint="connect again; relay logs ID -f   shows what the task says of it",
        )
    except* Unreachable as faults:
        broken = faults.exceptions[0]
    if broken is not None:
        raise broken  # not above: Python 3.11.2 makes a group of what is raised there


async def from_stream(channel: Conversation, reader: asyncio.StreamReader, flow: Flow) -> None:
    """Send what a stream brings, and its end; its reader waits while the other side does not read."""
    while data := await reader.read(PIECE):
        flow.is_sending = True
        await channel.send({"k": "data", "data": data})
        flow.is_sending = False
        flow.pieces += 1
    await channel.send({"k": "eof"})
    flow.is_whole = True


async def to_stream(channel: Conversation, writer: asyncio.StreamWriter) -> None:
    """Write what comes to a stream, up to the other side's end of it.

    Raises:
        Unreachable: the other side left before that: what it had to say is not whole.
    """
    while (message := await channel.receive()) is not None:
        if message.get("k") == "eof":
            if writer.can_write_eof():
                writer.write_eof()
            return
        data = message.get("data")
        if type(data) is not bytes:
            raise PeerFault("a message was refused", why="it has another form")
        writer.write(data)
        await writer.drain()
    break_off(writer)
    raise Unreachable("the connection broke off", why="the other side left in the middle of it", hint="connect again")


async def _connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    for host in LOOPBACK:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(CONNECT_S):
                return await asyncio.open_connection(host, port, limit=PIECE)
    raise _nobody(port)


def _nobody(port: int) -> Unreachable:
    return Unreachable(
        f"nothing listens on port {port}",
        code=Code.NO_ADDRESS,
        why="on the loopback of the machine that runs the task, no connection was accepted",
        hint="relay logs ID -f   shows whether it has begun to listen",
    )


def _not_running(row: SpawnRow) -> Misuse:
    once_more = f"; relay retry {row.id}   runs it once more" if row.state in TERMINAL else ""
    return Misuse(
        f"{row.name} does not run",
        code=Code.CONFLICT,
        why=f"it is {row.state}; ports are reached while a task runs",
        hint=f"relay show {row.id}   says why{once_more}",
    )

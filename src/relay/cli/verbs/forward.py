"""`relay forward`."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os

from relay.api import routes
from relay.api.aclient import AsyncClient
from relay.cli import forwarded, progress, speech
from relay.cli.clean import clean
from relay.cli.spawn_lines import has_ended, title
from relay.core.errors import Code, LocalFault, Misuse, RelayError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.shapes import Spawn
    from relay.cli.invocation import Invocation

INTERRUPTED = 130
HOST = "127.0.0.1"
WAIT_S = 30.0


def run(invocation: Invocation, *, spawn: str, port: str, local: int | None) -> int:
    """Carry connections to a port of this machine's loopback to one of the machine that runs the task."""
    there = int(port) if port.isascii() and port.isdigit() and len(port) < 6 else 0
    if not 0 < there < 65536 or not 0 <= (local or 0) < 65536:
        raise Misuse("that is no port", why="a port lies between 1 and 65535", hint="relay forward ID PORT")
    found = invocation.client().ask(routes.show(spawn))
    try:
        return asyncio.run(_forward(invocation, found, there, there if local is None else local))
    except KeyboardInterrupt:
        speech.note(f"\n{title(found)} is left as it is")
        return INTERRUPTED


async def _forward(invocation: Invocation, spawn: Spawn, port: int, local: int) -> int:
    way = forwarded.Way(invocation.home, spawn["id"], port)
    await _tried(way, invocation.json)
    server = await _listening(way, local, f"relay forward {spawn['id']} {port} --local 0")
    # not as its own context: since Python 3.12 that waits for every connection, however long it is kept open
    with contextlib.closing(server):
        here = server.sockets[0].getsockname()[1]
        if invocation.json:
            speech.streamed({"local": f"{HOST}:{here}", "port": port, "spawn": spawn["id"]})
        else:
            speech.say(f"{HOST}:{here} is port {port} of {title(spawn)} (Ctrl-C ends this)")
            speech.note("")
        await _ended(invocation, spawn)
        server.close()
        await way.rest()
    speech.note(f"{title(spawn)} has ended")
    return 0


async def _tried(way: forwarded.Way, quiet: bool) -> None:
    """Find out at once what will not work at all; that nothing listens there yet may pass."""
    try:
        with progress.Shown("asking that machine", quiet):
            (await way.open(look=True)).close()
    except RelayError as fault:
        if fault.code is not Code.NO_ADDRESS:
            raise
        speech.note(f"{clean(fault.message)} yet")


async def _listening(way: forwarded.Way, local: int, hint: str) -> asyncio.Server:
    try:
        return await asyncio.start_server(way.take, HOST, local, limit=forwarded.PIECE)
    except OSError as fault:
        taken = fault.errno == errno.EADDRINUSE
        why = "another program listens there" if taken else os.strerror(fault.errno or 0).lower()
        raise LocalFault(
            f"port {local} of this machine cannot be used", code=Code.PORT_TAKEN, why=why, hint=hint
        ) from fault


async def _ended(invocation: Invocation, spawn: Spawn) -> None:
    async with AsyncClient(invocation.home) as client:
        while not has_ended(spawn):
            with contextlib.suppress(RelayError):
                spawn = await client.ask(routes.wait(spawn["id"], WAIT_S))
            # the broker of this machine may be away, or answers at once while a person is asked
            await asyncio.sleep(0.2)

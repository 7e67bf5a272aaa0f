"""The control socket: mode 0600 from its first moment, each peer's uid checked, uvicorn behind it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from relay.broker.control.tasks import PROCESSES
from relay.core.errors import Code, LocalFault

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

BACKLOG = 256
STOP_S = 2
STREAMS_S = 0.5
"""How long a stop waits for answers; what is open then is a stream, whose reader goes on at the next start."""
_UCRED = struct.Struct("3i")
MOST_ANCESTORS = 256
_LOCAL_PEERPID = 0x002
_LOCAL_PEERCRED = 0x001  # macOS: struct xucred, whose second 32-bit word is the uid


def peer_uid(connection: socket.socket) -> int:
    """The user at the other end of a Unix socket."""
    if sys.platform == "darwin":
        return struct.unpack_from("=II", connection.getsockopt(0, _LOCAL_PEERCRED, 76))[1]
    _, uid, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return int(uid)


def peer_pid(connection: socket.socket) -> int:
    """The process that connected; 0 where the system does not say."""
    if sys.platform == "darwin":
        return int.from_bytes(connection.getsockopt(0, _LOCAL_PEERPID, 4), sys.byteorder)
    pid, _, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return int(pid)


def lineage(pid: int) -> frozenset[int]:
    """A process and its ancestors, as far as the system tells (Linux)."""
    found: set[int] = set()
    while pid > 1 and pid not in found and len(found) < MOST_ANCESTORS:
        found.add(pid)
        try:
            with open(f"/proc/{pid}/stat", "rb") as stat:
                pid = int(stat.read(4096).rpartition(b")")[2].split()[1])
        except OSError:
            break
    return frozenset(found)


class _OwnUserOnly(HttpToolsProtocol):
    """HTTP for this user's programs, and nobody else's."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)  # first: the end of a connection takes back what this has set up
        if peer_uid(transport.get_extra_info("socket")) not in (os.getuid(), 0):
            transport.abort()
            return
        # now: who connects and leaves the connection to a child was there at this moment
        self.app = _told(self.app, lineage(peer_pid(transport.get_extra_info("socket"))))


def _told(application: ASGIApp, processes: frozenset[int]) -> ASGIApp:
    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        scope[PROCESSES] = processes
        await application(scope, receive, send)

    return told


@contextlib.contextmanager
def _private_files() -> Iterator[None]:
    before = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(before)


def bind(path: str) -> socket.socket:
    """A listening Unix socket, 0600. The caller holds the home's lock, so what stands there is stale.

    Raises:
        LocalFault: it cannot be made.
    """
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        with _private_files():
            listening.bind(path)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise LocalFault(
            f"the control socket {path} cannot be made", code=Code.STORE_FAULT, why=str(error), hint="relay doctor"
        ) from None
    return listening


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers (SIGTERM is the broker's) and without its clock."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.begun.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        # uvicorn's own wakes ten times a second, for a date header that nobody here reads
        await self.ended.wait()


class ControlServer:
    """Serves the control API on a Unix socket.

    Args:
        application: the API.
        path: the socket's.
    """

    def __init__(self, application: ASGIApp, path: str) -> None:
        self._path = path
        self._socket = bind(path)
        config = uvicorn.Config(
            application,
            http=_OwnUserOnly,
            ws="none",
            loop="none",
            lifespan="off",
            access_log=False,
            proxy_headers=False,
            log_config=None,
            log_level="warning",
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=STOP_S,
        )
        self._server = _Server(config)
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serve from now on."""
        self._serving = asyncio.get_running_loop().create_task(self._server.serve(sockets=[self._socket]))
        await self._server.begun.wait()

    async def close(self) -> None:
        """Finish open answers (2 s at most) and remove the socket."""
        self._server.should_exit = True
        self._server.ended.set()
        cutting = asyncio.get_running_loop().call_later(STREAMS_S, self._cut_off)
        if self._serving is not None:
            await asyncio.gather(self._serving, return_exceptions=True)
        cutting.cancel()
        self._socket.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)

    def _cut_off(self) -> None:
        for connection in list(self._server.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()

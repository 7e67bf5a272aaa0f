"""The control socket: mode 0600 from its first moment, each peer's uid checked, uvicorn behind it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from relay.broker.control.embedding import Embedded
from relay.broker.control.one_piece import OnePiece
from relay.broker.control.straight import STRAIGHT, Straight
from relay.broker.control.tasks import PROCESSES
from relay.core.errors import Code, LocalFault

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

BACKLOG = 256
MOST_SERVED = 8  # sockets whose connections go on, of those that were removed and the one there is
_log = logging.getLogger(__name__)
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


class _OwnUserOnly(Straight):
    """HTTP for this user's programs, and nobody else's."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)  # first: the end of a connection takes back what this has set up
        if peer_uid(transport.get_extra_info("socket")) not in (os.getuid(), 0):
            transport.abort()
            return
        self.transport = OnePiece(transport)  # type: ignore[assignment]
        # now: who connects and leaves the connection to a child was there at this moment
        self.app = _told(self.app, lineage(peer_pid(transport.get_extra_info("socket"))), self)


def _told(application: ASGIApp, processes: frozenset[int], connection: Straight) -> ASGIApp:
    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        scope[PROCESSES], scope[STRAIGHT] = processes, connection
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


class ControlServer:
    """Serves the control API on a Unix socket.

    Args:
        application: the API.
        path: the socket's.
        room: makes the socket's folder where that has gone too.
    """

    def __init__(self, application: ASGIApp, path: str, room: Callable[[], None] = lambda: None) -> None:
        self._application = application
        self._path = path
        self._room = room
        self._served = [self._bound()]
        self._is_given_up = False

    def _bound(self) -> Embedded:
        return Embedded(self._application, bind(self._path), http=_OwnUserOnly, ws="none")

    async def start(self) -> None:
        """Serve from now on."""
        await self._served[-1].start()

    async def look(self) -> None:
        """Where somebody has removed the socket, as what tidies /tmp does, make it anew; open answers go on."""
        if self._is_there() or self._is_given_up:
            return
        try:
            self._room()
            served = self._bound()
        except (LocalFault, OSError) as fault:
            self._is_given_up = True
            _log.error("the control socket %s was removed and cannot be made anew: %s", self._path, fault)
            return
        _log.warning("the control socket %s was removed: it is made anew", self._path)
        await served.start()
        self._served.append(served)
        if len(self._served) > MOST_SERVED:
            await self._served.pop(0).close()

    def _is_there(self) -> bool:
        return os.path.lexists(self._path)

    async def close(self) -> None:
        """Finish open answers (2 s at most) and remove the socket."""
        await asyncio.gather(*(each.close() for each in self._served))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)

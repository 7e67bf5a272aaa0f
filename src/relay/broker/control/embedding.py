"""uvicorn within the broker: on a socket made by us, without its signal handlers and without its clock."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import uvicorn

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

STOP_S = 2
STREAMS_S = 0.5
"""How long a stop waits for answers; what is open then is a stream, whose reader goes on at the next start."""


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers (SIGTERM is the broker's) and without its clock."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.server_state.default_headers = self.config.encoded_headers  # else its clock does
        self.begun.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        # uvicorn's own wakes ten times a second, for a date header that nobody here reads
        await self.ended.wait()


class Embedded:
    """Serves an application on a socket that listens.

    Args:
        application: what is served.
        listening: the socket; closed with the server.
        settings: further ones of uvicorn's.
    """

    def __init__(self, application: ASGIApp, listening: socket.socket, **settings: Any) -> None:
        self._socket = listening
        self._application = application
        self._is_cut_off = False
        config = uvicorn.Config(
            self._served,
            interface="asgi3",
            loop="none",
            lifespan="off",
            access_log=False,
            proxy_headers=False,
            log_config=None,
            log_level="error",  # what strangers send amiss is no news: they would fill the log
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=STOP_S,
            **settings,
        )
        self._server = _Server(config)
        self._serving: asyncio.Task[None] | None = None

    async def _served(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._application(scope, receive, send)
        except asyncio.CancelledError:
            if not self._is_cut_off:  # else it is no fault, of which uvicorn would tell with all its frames
                raise

    async def start(self) -> None:
        """Serve from now on."""
        self._serving = asyncio.get_running_loop().create_task(self._server.serve(sockets=[self._socket]))
        await self._server.begun.wait()

    async def close(self) -> None:
        """Finish open answers, cut off what is open after half a second, and close the socket."""
        self._server.should_exit = True
        self._server.ended.set()
        cutting = asyncio.get_running_loop().call_later(STREAMS_S, self._cut_off)
        if self._serving is not None:
            await asyncio.gather(self._serving, return_exceptions=True)
        cutting.cancel()
        self._socket.close()

    def _cut_off(self) -> None:
        self._is_cut_off = True
        for connection in list(self._server.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        for task in list(self._server.server_state.tasks):
            task.cancel()  # what it waits for, as another machine's answer, may take longer than a stop

"""HTTP and WebSocket as uvicorn speaks them, within bounds: any user of this machine may connect to a port of it."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

MAX_HEAD = 32 * 1024
HEAD_S = 10.0
STALLED_S = 20.0


class BoundedHttp(HttpToolsProtocol):
    """Ends a connection whose next request has a head that is too long, or takes too long."""

    _head = 0
    _is_in_head = True
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection has come."""
        super().connection_made(transport)
        self._late = self.loop.call_later(HEAD_S, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """A connection has gone."""
        self._on_time()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some of a request has come."""
        self._head += len(data)
        super().data_received(data)
        if self._is_in_head and self._head > MAX_HEAD:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._is_in_head, self._head = True, 0
        if self._late is None:
            self._late = self.loop.call_later(HEAD_S, self.transport.abort)

    def on_headers_complete(self) -> None:
        """Its head is whole."""
        self._is_in_head = False
        self._on_time()
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        """It is no HTTP any more."""
        self._on_time()
        super().handle_websocket_upgrade()

    def _on_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class PatientSocket(WebSocketsSansIOProtocol):
    """Ends a connection that takes nothing for a while: it goes on by number when it comes again.

    Attributes:
        stalled_s: how long.
    """

    stalled_s = STALLED_S
    _stalled: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """More waits to be sent than is good."""
        super().pause_writing()
        self._stalled = self.loop.call_later(self.stalled_s, self.transport.abort)

    def resume_writing(self) -> None:
        """It has been sent."""
        super().resume_writing()
        self._moves()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has gone."""
        self._moves()
        super().connection_lost(exc)

    def _moves(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


SETTINGS: dict[str, Any] = {"http": BoundedHttp, "ws": PatientSocket, "ws_per_message_deflate": False}

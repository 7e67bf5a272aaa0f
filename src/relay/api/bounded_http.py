"""HTTP as uvicorn speaks it, within bounds: any user of this machine may connect to a port of it."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 32 * 1024
HEAD_S = 10.0


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

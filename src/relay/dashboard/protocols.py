"""HTTP and WebSocket as uvicorn speaks them, within bounds: any user of this machine may connect to a port of it."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

MAX_HEAD = 32 * 1024
"""Bytes of a request beside its body: its head, and what stands between and after the pieces of a body."""
BODY_WORTH = 4
"""How many bytes beside it one byte of a body may bring along: it comes in pieces, and not one by one for ever."""
HEAD_S = 10.0
REST_S = 5.0
STALLED_S = 20.0
MOST_OPEN = 288
"""Connections; beyond those that are answered some are told so, and the others are not even kept."""
MOST_AHEAD = 8
MOST_UNREAD = 64 * 1024
API = "/api/"
NO_REQUEST = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class BoundedHttp(HttpToolsProtocol):
    """Ends a connection whose next request is too long, or takes too long, or whose answer nobody takes.

    Attributes:
        rest_s: how long the rest of a request may take that is answered already.
    """

    rest_s = REST_S
    _beside = 0
    _late: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection has come."""
        super().connection_made(transport)
        if len(self.connections) > MOST_OPEN:
            transport.abort()
            return
        self._end_in(HEAD_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """A connection has gone."""
        self._on_time()
        self._moves()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some of a request has come."""
        self._beside += len(data)
        super().data_received(data)
        if self._beside > MAX_HEAD:
            self.transport.abort()
        self._beside = max(self._beside, 0)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._beside = 0
        if self._late is None:
            self._end_in(HEAD_S)

    def on_headers_complete(self) -> None:
        """Its head is whole."""
        self._on_time()
        if len(self.pipeline) >= MOST_AHEAD:
            self.transport.abort()
            raise ValueError("more requests than anybody asks ahead")
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Some of its body has come."""
        self._beside -= BODY_WORTH * len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """It is whole."""
        self._on_time()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """It is answered; what was answered before it was whole has to be whole soon."""
        if not self.pipeline and self.cycle.more_body:
            self._end_in(self.rest_s)
        super().on_response_complete()

    def handle_websocket_upgrade(self) -> None:
        """It is no HTTP any more."""
        self._on_time()
        self._moves()
        super().handle_websocket_upgrade()

    def pause_writing(self) -> None:
        """More waits to be sent than is good. A task's port is taken from as its other end likes."""
        super().pause_writing()
        if self._stalled is None and not str(self.scope.get("path", "")).startswith(API):
            self._stalled = self.loop.call_later(STALLED_S, self.transport.abort)

    def resume_writing(self) -> None:
        """It has been sent."""
        super().resume_writing()
        self._moves()

    def _end_in(self, seconds: float) -> None:
        self._on_time()
        self._late = self.loop.call_later(seconds, self.transport.abort)

    def _on_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _moves(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


class PatientSocket(WebSocketsSansIOProtocol):
    """Ends a connection that takes nothing for a while: it goes on by number when it comes again.

    Attributes:
        stalled_s: how long.
    """

    stalled_s = STALLED_S
    _stalled: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """Some of it has come; first its whole head, as HTTP has read it, which may still be none of a WebSocket."""
        is_first = not self.handshake_initiated
        try:
            super().data_received(data)
        except (AssertionError, UnicodeError):
            self.transport.abort()
            return
        if is_first and not self.handshake_initiated:
            self.transport.write(NO_REQUEST)
            self.transport.close()

    def handle_ping(self) -> None:
        """It wants an answer, and has to take those that it had before."""
        if self.transport.get_write_buffer_size() > MOST_UNREAD:
            self.transport.abort()
            return
        super().handle_ping()

    def send_receive_event_to_app(self) -> None:
        """A message is whole. One that is no text is the other side's fault, and not worth a trace in the log."""
        if self.curr_msg_data_type == "text" and not _is_text(b"".join(self.frames)):
            self.frames = []
            self.conn.fail(1007)
            self.handle_parser_exception()
            return
        super().send_receive_event_to_app()

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


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


SETTINGS: dict[str, Any] = {"http": BoundedHttp, "ws": PatientSocket, "ws_per_message_deflate": False}

"""HTTP and WebSocket as the dashboard speaks them, within bounds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from relay.api.bounded_http import BoundedHttp

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent

STALLED_S = 20.0
MOST_OPEN = 288
"""Connections; beyond those that are answered some are told so, and the others are not even kept."""
MOST_UNREAD = 64 * 1024
API = "/api/"
NO_REQUEST = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class PatientHttp(BoundedHttp):
    """Ends a connection whose answer nobody takes."""

    most_open = MOST_OPEN
    _stalled: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """A connection has gone."""
        self._moves()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        """It is no HTTP any more."""
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

    async def send(self, message: ASGISendEvent) -> None:
        """Say something. A socket that is refused has had its answer: that is no news for the log."""
        await super().send(message)
        if self.close_sent:
            self.handshake_complete = True

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


SETTINGS: dict[str, Any] = {"http": PatientHttp, "ws": PatientSocket, "ws_per_message_deflate": False}

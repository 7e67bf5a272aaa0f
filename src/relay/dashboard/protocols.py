"""HTTP and WebSocket as the dashboard speaks them, within bounds."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from relay.api.bounded_http import BoundedHttp

STALLED_S = 20.0


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

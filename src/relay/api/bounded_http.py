"""HTTP as uvicorn speaks it, within bounds: any user of this machine may connect to a port of it."""

from __future__ import annotations

import asyncio
import sys

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from relay.api.neighbours import is_another_user

MAX_HEAD = 32 * 1024
"""Bytes of a request beside its body: its head, and what stands between and after the pieces of a body."""
BODY_WORTH = 4
"""How many bytes beside it one byte of a body may bring along: it comes in pieces, and not one by one for ever."""
MOST_AHEAD = 8
MOST_OF_OTHERS = 96
"""Where more connections are open, none of another user of this machine is kept: the rest is for its own."""
HEAD_S = 10.0
REST_S = 5.0


class InTurn(HttpToolsProtocol):
    """Ends a connection that sends many more requests than it has had answers: each that waits costs a KiB or two."""

    def on_headers_complete(self) -> None:
        """The head of a request is whole."""
        if len(self.pipeline) >= MOST_AHEAD:
            self.transport.abort()
            raise ValueError("more requests than anybody asks ahead")
        super().on_headers_complete()


class BoundedHttp(InTurn):
    """Ends a connection whose next request is too long beside its body, takes too long, or comes too far ahead.

    Attributes:
        rest_s: how long the rest of a request may take that is answered already.
        most_open: how many connections are kept at all.
    """

    rest_s = REST_S
    most_open = sys.maxsize
    _beside = 0
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection has come."""
        super().connection_made(transport)
        count = len(self.connections)
        if count > self.most_open or (count > MOST_OF_OTHERS and _is_another_s(transport)):
            transport.abort()
            self.connections.discard(self)  # now: of many that come at once the last may be one to keep
            return
        self._end_in(HEAD_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """A connection has gone."""
        self._on_time()
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
        super().handle_websocket_upgrade()

    def _end_in(self, seconds: float) -> None:
        self._on_time()
        self._late = self.loop.call_later(seconds, self.transport.abort)

    def _on_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


def _is_another_s(transport: asyncio.Transport) -> bool:
    near, far = (transport.get_extra_info(end) for end in ("sockname", "peername"))
    return near is not None and far is not None and is_another_user(near, far)

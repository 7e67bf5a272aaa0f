"""Bodies that go straight on: past the queues and tasks of ASGI, as long as nothing waits in them."""

from __future__ import annotations

from collections.abc import Callable

from relay.api.bounded_http import InTurn

STRAIGHT = "relay.straight"
"""Where an application finds the connection of its request in its scope."""


class Straight(InTurn):
    """HTTP whose bodies an application may take as they come, and answer at once.

    Attributes:
        heard: asked to take each piece of the request's body while none waits to be received; where it returns False
            the piece is received in turn. It may raise nothing.
    """

    heard: Callable[[bytes], bool] | None = None

    def on_body(self, body: bytes) -> None:
        """Some of a request's body has come."""
        if self.heard is None or self.cycle.body or self.cycle.response_complete or not self.heard(body):
            super().on_body(body)

    def on_message_complete(self) -> None:
        """It is whole."""
        self.heard = None
        super().on_message_complete()

    def say_now(self, data: bytes) -> bool:
        """Go on with an answer that has begun, in chunks; False, and it is not said, where that has to wait."""
        cycle = self.cycle
        begun = cycle.response_started and not cycle.response_complete and bool(cycle.chunked_encoding)
        if not begun or cycle.disconnected or self.flow.write_paused or self.transport.is_closing():
            return False
        if data:
            self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        return True

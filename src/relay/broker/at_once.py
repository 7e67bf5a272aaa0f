"""What is said on channels, heard as it comes: past the queue of a WebSocket and the task that reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from websockets.asyncio.connection import Connection
from websockets.frames import Frame, Opcode

from relay.core.frames import SAID_MARK

if TYPE_CHECKING:
    from websockets.protocol import Event


class AtOnce(Connection):
    """A connection that gives `Said` frames to who hears them at once.

    Attributes:
        at_once: hears them; without it they are read in turn.
        arrived: how often bytes have come.
    """

    at_once: Callable[[bytes], None] | None = None
    arrived = 0

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        self.arrived += 1
        super().data_received(data)

    def process_event(self, event: Event) -> None:
        """A frame has come."""
        hear = self.at_once
        whole = hear is not None and isinstance(event, Frame) and event.opcode is Opcode.BINARY and event.fin
        if whole and event.data[:2] == SAID_MARK:  # type: ignore[union-attr]
            hear(bytes(event.data))  # type: ignore[misc,union-attr]
        else:
            super().process_event(event)

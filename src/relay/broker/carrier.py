"""The carrier seam: what moves a link's messages.

Two implementations: the WebSocket, and the in-memory one of `relay.testing`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from relay.core.values import frozen


class CarrierClosed(Exception):
    """The connection is gone; nothing more will come or go."""


@frozen
class Ends:
    """The two ends of a TCP connection, numeric addresses without their ports.

    Attributes:
        near: this machine's.
        far: the other's, as this one sees it.
        dialled: whether this side made it.
    """

    near: str
    far: str
    dialled: bool


class Carrier(Protocol):
    """One connection to one peer, whose TLS key is known.

    Attributes:
        peer_public: the raw Ed25519 key (32 bytes) of the other side's leaf certificate.
        dialled: whether this side made the connection.
        address: the other side's address, for people.
        ends: of the TCP connection; None where there is none.
        is_former: whether it was made with an epoch of the workspace that is over here.
        at_once: given each `Said` frame as it comes, where that is set and the carrier can; `receive` has it else.
    """

    peer_public: bytes
    dialled: bool
    address: str
    ends: Ends | None = None
    is_former: bool
    at_once: Callable[[bytes], None] | None

    @property
    def arrived(self) -> int:
        """How often something has come, whole messages or not; 0 where nobody counts."""
        return 0

    async def send(self, message: bytes) -> None:
        """Hand over one message; waits while the other side is slow.

        Raises:
            CarrierClosed: the connection is gone.
        """

    def send_now(self, message: bytes) -> bool:
        """Hand over one message where nothing waits before it; False, and it is not sent, where something does."""

    async def receive(self) -> bytes:
        """The next message, at most `frames.MAX_FRAME` bytes.

        Raises:
            CarrierClosed: the connection is gone, or the other side broke the carrier's rules.
        """

    async def close(self) -> None:
        """End the connection."""

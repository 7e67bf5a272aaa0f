"""What a link needs of the mesh around it, and what it carries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from relay.core.delivery import Outgoing, Window
from relay.core.ids import BrokerId

if TYPE_CHECKING:
    from relay.broker.link import Link


class Host(Protocol):
    """What a link needs of the mesh around it."""

    def settle(self, link: Link) -> bool:
        """Whether this newly greeted link may live; another of the same pair gives way or stays."""

    async def take(self, peer: BrokerId, envelopes: Sequence[bytes]) -> list[bytes]:
        """Take in what a peer hands over; the ids of those that it kept for this broker, and need keep no longer."""

    async def keep(self, peer: BrokerId, envelopes: Sequence[bytes]) -> list[tuple[bytes, str]]:
        """Keep a peer's envelopes for others; what became of each."""

    def pass_on(self, peer: BrokerId, envelopes: Sequence[bytes]) -> None:
        """Hand a peer's envelopes for others on at once, or drop them."""

    def hear(self, peer: BrokerId, pieces: Sequence[bytes]) -> None:
        """Pieces of channels with that peer came."""

    def answered(self, peer: BrokerId, answers: Sequence[tuple[bytes, str]]) -> None:
        """That peer says what became of what it was to keep."""

    def forget(self, peer: BrokerId, envelopes: Sequence[bytes]) -> None:
        """That peer needs these kept no longer."""

    def loads(self, peer: BrokerId) -> Sequence[Load]:
        """What there is to carry over the link to that peer."""


class Load(Protocol):
    """Rows that go over one link: its peer's own, or those of somebody else whom the peer is to keep them for."""

    @property
    def window(self) -> Window:
        """What of them is in memory."""

    @property
    def for_another(self) -> bool:
        """Whether the peer at the other end is not their recipient."""

    async def refill(self) -> None:
        """Read more of them into the window."""

    async def mark_tried(self, rows: Sequence[Outgoing]) -> list[Outgoing]:
        """Make it durable that these rows may have been sent; those that still may be."""

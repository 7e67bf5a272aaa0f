"""A link with a member that still comes with a former epoch: it may fetch the present one, and nothing else.

It is no link to anybody but its own end: nothing of the outbox goes over it, nothing is asked of it, and of what comes
in only an epoch and receipts are read. So an old key opens nothing; who it is, identity and roster say as ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from relay.broker.host import Load
from relay.core.envelope import unpack_envelope
from relay.core.ids import BrokerId
from relay.core.kinds import Kind

if TYPE_CHECKING:
    from relay.broker.link import Link
    from relay.broker.mesh import Mesh

READ = frozenset({Kind.EPOCH, Kind.RECEIPT})


class FormerHost:
    """What such a link has around it, in the place of the mesh.

    Args:
        mesh: takes in what may be read.
        on_up: called with the link when both hellos are through.
    """

    def __init__(self, mesh: Mesh, on_up: Callable[[Link], None]) -> None:
        self._mesh = mesh
        self._on_up = on_up

    def settle(self, link: Link) -> bool:
        """Whether the link may live: not that of a second machine with an identity."""
        if link.is_clone:
            return False
        asyncio.get_running_loop().call_soon(self._on_up, link)
        return True

    async def take(self, peer: BrokerId, envelopes: Sequence[bytes]) -> list[bytes]:
        """Read an epoch and receipts; the rest stays where it is, and comes again over another link."""
        wanted = [raw for raw in envelopes if unpack_envelope(raw).header.kind in READ]
        return await self._mesh.take(peer, wanted) if wanted else []

    async def keep(self, peer: BrokerId, envelopes: Sequence[bytes]) -> list[tuple[bytes, str]]:
        """Keep nothing for others."""
        return []

    def pass_on(self, peer: BrokerId, envelopes: Sequence[bytes]) -> None:
        """Hand nothing on."""

    def hear(self, peer: BrokerId, pieces: Sequence[bytes]) -> None:
        """No channel goes over it."""

    def answered(self, peer: BrokerId, answers: Sequence[tuple[bytes, str]]) -> None:
        """Nothing was asked."""

    def forget(self, peer: BrokerId, envelopes: Sequence[bytes]) -> None:
        """Nothing is forgotten on its word."""

    def loads(self, peer: BrokerId) -> Sequence[Load]:
        """Nothing is carried."""
        return []

"""What bench nodes stand on: a workspace, and how they take connections in and make them."""

from __future__ import annotations

import os
from typing import Protocol

from relay.broker.carrier import Carrier
from relay.broker.websocket import Listener, dial
from relay.core.errors import Unreachable
from relay.core.ids import BrokerId
from relay.core.roster import Roster, fold
from relay.core.statements import Statement
from relay.testing.carrier import MemoryNetwork, Welcome
from relay.trust.identity import Identity
from relay.trust.roster import admit, member_of
from relay.trust.tls import link_client_context, link_server_context
from relay.trust.workspace import Workspace


class Ground(Protocol):
    """How a node takes connections in and makes them."""

    async def listen(self, identity: Identity, welcome: Welcome) -> None:
        """Take connections in from now on."""

    async def dial(self, identity: Identity, peer: BrokerId) -> Carrier:
        """A connection to a peer, or `Unreachable`."""

    async def leave(self, identity: Identity) -> None:
        """Take no more in, and lose what there is."""


class InMemory:
    """Over a `MemoryNetwork`."""

    def __init__(self, network: MemoryNetwork) -> None:
        self.network = network

    async def listen(self, identity: Identity, welcome: Welcome) -> None:
        """Take connections in from now on."""
        self.network.listen(identity.public, welcome)

    async def dial(self, identity: Identity, peer: BrokerId) -> Carrier:
        """A connection to a peer."""
        return await self.network.dial(identity.public, peer)

    async def leave(self, identity: Identity) -> None:
        """Take no more in, and lose what there is."""
        self.network.leave(identity.id)


class LoopbackTls:
    """Over WebSockets with the workspace's certificates, on loopback."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._listeners: dict[BrokerId, Listener] = {}
        self._addresses: dict[BrokerId, str] = {}

    async def listen(self, identity: Identity, welcome: Welcome) -> None:
        """Take connections in from now on."""

        async def no_pairing(connection: object) -> None:
            raise AssertionError("nobody pairs with a bench node")

        listener = Listener(link_server_context(self._workspace, identity), welcome, no_pairing)
        self._addresses[identity.id] = await listener.listen("127.0.0.1", 0)
        self._listeners[identity.id] = listener

    async def dial(self, identity: Identity, peer: BrokerId) -> Carrier:
        """A connection to a peer."""
        if peer not in self._listeners:
            raise Unreachable("it does not listen yet")
        return await dial(self._addresses[peer], peer, link_client_context(self._workspace, identity))

    async def leave(self, identity: Identity) -> None:
        """Take no more in."""
        await self._listeners.pop(identity.id).close()


def workspace_of_all(members: list[Identity]) -> tuple[Workspace, Roster]:
    """A workspace whose creator, the first, has admitted everybody."""
    root = members[0]
    workspace = Workspace.create(os.urandom(32), "bench", root, os.urandom(16))
    statements: list[Statement] = []
    for at, member in enumerate(members):
        roster = fold(root.public, statements)
        statements.append(admit(root, workspace, roster, member_of(member, f"bench-{at}", at), at))
    return workspace, fold(root.public, statements)

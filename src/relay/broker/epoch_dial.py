"""Dialling over the epochs of a workspace: with the present one first, then with those before it.

What is dialled says by its TLS name which epoch it is of, so that whoever holds that one answers in it. Who does not,
because it slept through a rotation, refuses the certificate, and is asked again with the epoch before.
"""

from __future__ import annotations

import ssl
from functools import cached_property

from relay.broker.carrier import Carrier
from relay.broker.websocket import dial
from relay.core.errors import Unreachable
from relay.core.ids import BrokerId
from relay.trust.identity import Identity
from relay.trust.tls import REFUSED_BY_PEER, link_client_context, server_name
from relay.trust.workspace import Workspace


class _Epoch:
    """One epoch to dial with; its context is made when it is needed."""

    def __init__(self, workspace: Workspace, identity: Identity, is_former: bool) -> None:
        self._workspace = workspace
        self._identity = identity
        self.is_former = is_former
        self.name = server_name(workspace)

    @cached_property
    def context(self) -> ssl.SSLContext:
        """What it is dialled with."""
        return link_client_context(self._workspace, self._identity)


class EpochDial:
    """Makes connections to members, whichever epoch they are in.

    Args:
        workspace: with the epochs that are held.
        identity: this broker.
    """

    def __init__(self, workspace: Workspace, identity: Identity) -> None:
        former = (workspace.at(each) for each in reversed(workspace.former))
        self._epochs = [_Epoch(workspace, identity, False), *(_Epoch(each, identity, True) for each in former)]

    async def __call__(self, address: str, peer: BrokerId) -> Carrier:
        """As `dial`."""
        *newer, oldest = self._epochs
        for epoch in newer:
            try:
                return await _dial(address, peer, epoch)
            except Unreachable as fault:
                if fault.why != REFUSED_BY_PEER:
                    raise
        return await _dial(address, peer, oldest)


async def _dial(address: str, peer: BrokerId, epoch: _Epoch) -> Carrier:
    return await dial(address, peer, epoch.context, name=epoch.name, is_former=epoch.is_former)

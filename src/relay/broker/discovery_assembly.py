"""The part of the assembly that puts discovery together, and what people ask of single members."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.broker.acquaintances import Acquaintances
from relay.broker.discovery import Around, Discovery

if TYPE_CHECKING:
    from relay.broker.assembly import Running


def discovery_of(running: Running, incarnation: int, version: str) -> Discovery:
    """Discovery over the rooms of a broker; those that are made later are asked for when they are needed."""
    return Discovery(
        Around(
            identity=running.keys.identity,
            workspace=running.keys.workspace,
            incarnation=incarnation,
            version=version,
            config=running.config,
            members=running.members,
            mesh=running.mesh,
            store=running.store,
            listening=lambda: running.listening,
            agents=lambda: running.agents.names(),
            poke=lambda peer: running.dialler.poke(peer),
            wake=lambda: running.woke(),
            behind=lambda seen: running.membership.behind(seen),
            may_expire=lambda: running.membership.may_expire(),
            clock=running.journal.clock,
        )
    )


def acquaintances_of(running: Running) -> Acquaintances:
    """What is asked of single members, over the rooms of a broker."""
    return Acquaintances(
        running.members,
        running.mesh,
        running.discovery,
        running.journal,
        running.grants,
        running.views,
        running.admitting,
        running.keeper,
        running.dialler.troubles.get,
    )

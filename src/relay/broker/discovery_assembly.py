"""The part of the assembly that puts discovery together, and what people ask of single members."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.broker.acquaintances import Acquaintances
from relay.broker.discovery import Around, Discovery

if TYPE_CHECKING:
    from relay.broker.rooms import Rooms


def discovery_of(rooms: Rooms, incarnation: int, version: str) -> Discovery:
    """Discovery over the rooms of a broker; those that are made later are asked for when they are needed."""
    return Discovery(
        Around(
            identity=rooms.keys.identity,
            workspace=rooms.keys.workspace,
            incarnation=incarnation,
            version=version,
            config=rooms.config,
            members=rooms.members,
            mesh=rooms.mesh,
            store=rooms.store,
            listening=lambda: rooms.listening,
            agents=lambda: rooms.agents.installed(),
            reroute=lambda: rooms.outbox.reroute_soon(),
            poke=lambda peer: rooms.dialler.poke(peer),
            wake=lambda: rooms.woke(),
            behind=lambda seen: rooms.membership.behind(seen),
            may_expire=lambda: rooms.clocks.may_expire(),
            clock=rooms.journal.clock,
        )
    )


def acquaintances_of(rooms: Rooms) -> Acquaintances:
    """What is asked of single members, over the rooms of a broker."""
    return Acquaintances(
        rooms.members,
        rooms.mesh,
        rooms.discovery,
        rooms.journal,
        rooms.grants,
        rooms.letters.attendance,
        rooms.admitting,
        rooms.keeper,
        rooms.dialler,
        rooms.letters.waiting,
        rooms.auditor.heads,
    )

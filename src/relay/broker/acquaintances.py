"""What a person asks of one member: everything known of it, another name for it, whether it is there, forgetting it."""

from __future__ import annotations

import logging
from typing import Any

from relay.broker.admitting import Admitting
from relay.broker.allowed import Grants
from relay.broker.audit_heads import Heads
from relay.broker.dialler import Dialler
from relay.broker.discovery import Discovery
from relay.broker.members import Members
from relay.broker.mesh import Mesh
from relay.broker.pinging import not_linked, round_trip
from relay.broker.places import Hint
from relay.broker.presence import Attendance
from relay.broker.roster import RosterKeeper
from relay.broker.views import grants_view
from relay.broker.waiting import Waiting
from relay.broker.waiting_rows import NOTHING, waiting_rows
from relay.broker.words import rfc3339
from relay.core import ids
from relay.core.errors import Code, LocalFault, Misuse
from relay.core.ids import BrokerId
from relay.core.record_book import Held
from relay.store import peers, records
from relay.store.journal import Entry, Journal
from relay.store.peers import Peer

_log = logging.getLogger(__name__)


class Acquaintances:
    """Answers `relay broker show`, `rename`, `ping` and `forget`.

    Args:
        members: names.
        mesh: the links.
        discovery: records and addresses.
        journal: where a label or a forgetting is written.
        grants: who may do what here.
        attendance: when each was last seen.
        admitting: renames for everybody, on the machine that may.
        keeper: writes roster.json, by which commands without a broker find names.
        dialler: what the last dial of a member met.
        there: what others said of what waits there, and of what this broker may do there.
        heads: the ends of the members' audit logs.
    """

    def __init__(
        self,
        members: Members,
        mesh: Mesh,
        discovery: Discovery,
        journal: Journal,
        grants: Grants,
        attendance: Attendance,
        admitting: Admitting,
        keeper: RosterKeeper,
        dialler: Dialler,
        there: Waiting,
        heads: Heads,
    ) -> None:
        self._heads = heads
        self._members = members
        self._mesh = mesh
        self._discovery = discovery
        self._journal = journal
        self._grants = grants
        self._attendance = attendance
        self._admitting = admitting
        self._keeper = keeper
        self._dialler = dialler
        self._there = there

    # showing

    async def show(self, text: str) -> dict[str, Any]:
        """Everything known of one member.

        Raises:
            Misuse: it names none, or several.
        """
        broker = self._members.resolve(text)
        peer = await self._journal.store.one(peers.BY_ID, id=broker)
        held = self._discovery.book.get(broker)
        hints = [] if broker == self._members.own else await self._discovery.hints(broker)
        return (
            self._named(broker)
            | self._presence(broker, peer)
            | (await waiting_rows(self._journal.store, self._members)).get(broker, NOTHING)
            | {"addresses": [_hint(hint) for hint in hints], "trouble": self._dialler.troubles.get(broker)}
            | self._said(held)
            | {"grants": grants_view(self._there, self._grants, broker)}
        )

    def _named(self, broker: BrokerId) -> dict[str, Any]:
        member = self._members.roster.members.get(broker)
        return self._members.label(broker) | {
            "id_groups": ids.grouped(broker),
            "roster_name": member.name if member else None,
            "self": broker == self._members.own,
        }

    def _presence(self, broker: BrokerId, peer: Peer | None) -> dict[str, Any]:
        own, via = broker == self._members.own, self._mesh.reached_by(broker)
        there = own or via is not None or self._mesh.is_linked(broker)
        return {
            "online": True if there else None if self._attendance.of(broker) is None else False,
            "link": self._link(broker),
            "via": None if via is None else self._members.label(via),
            "last_seen": rfc3339(self._attendance.last(broker)),
            "clock_skew_ms": self._attendance.skew(peer),
            "incarnation": peer.incarnation or None if peer else None,
            "frozen": self._is_frozen(broker),
            "audit_cut": rfc3339(cut.cut) if (cut := self._heads.cut_elsewhere.get(broker)) else None,
        }

    def _link(self, broker: BrokerId) -> dict[str, Any] | None:
        link = self._mesh.link(broker)
        if link is None:
            return None
        carrier = link.carrier
        by_us = {"address": carrier.address, "dialled_by_us": carrier.dialled}
        return {"kind": "direct", "since": rfc3339(link.since), "rtt_ms": link.rtt_ms} | by_us

    def _is_frozen(self, broker: BrokerId) -> bool | None:
        try:
            grant = self._grants.all().get(broker)
        except LocalFault:
            return None  # the file is broken: nothing can be said of it
        return grant is not None and grant.frozen

    def _said(self, held: Held | None) -> dict[str, Any]:
        if held is None:
            nothing: dict[str, Any] = {"record": None, "always_on": None, "version": None}
            return nothing | {"capabilities": [], "agents": [], "linked": []}
        record = held.record
        order = {"incarnation": record.incarnation, "seq": record.seq}
        times = {"created": record.created, "expires": record.expires, "heard": held.heard}
        return {
            "record": order | {name: rfc3339(at) for name, at in times.items()},
            "always_on": record.always_on,
            "version": record.version or None,
            "capabilities": list(record.capabilities),
            "agents": list(record.agents),
            "linked": [self._members.label(peer) for peer in record.linked],
        }

    def _why_not(self, broker: BrokerId, name: str) -> str:
        via = self._mesh.reached_by(broker)
        if via is not None:
            return f"{name} is reached through {self._members.name(via)}, and only a link can be measured"
        return self._attendance.absence(broker, name)

    # asking

    async def ping(self, text: str) -> dict[str, Any]:
        """One round trip over the link.

        Raises:
            Misuse: it names none, several, or this broker.
            Unreachable: there is no link, or no answer.
        """
        broker = self._another(text, "ping")
        name = self._members.name(broker)
        link = self._mesh.link(broker)
        if link is None:
            raise not_linked(name, self._why_not(broker, name), self._dialler.troubles.get(broker))
        took = await round_trip(link, name)
        return {"broker": self._members.label(broker), "link": "direct", "rtt_ms": round(took, 3)}

    def _another(self, text: str, what: str) -> BrokerId:
        broker = self._members.resolve(text)
        if broker == self._members.own:
            raise Misuse(f"{text[:80]!r} is this broker", why=f"there is nothing to {what}", hint="relay brokers")
        return broker

    # changing

    async def rename(self, text: str, name: str) -> dict[str, Any]:
        """Call a member otherwise: for everybody where this broker signs the roster, else on this machine alone.

        Raises:
            Misuse: it names none or several; the new name is none, or another member's.
            Refused: it is this broker, and another machine signs the roster.
        """
        broker = self._members.resolve(text)
        ids.require_name(name, "a broker's name")
        self._require_free(broker, name)
        everywhere = self._admitting.may_admit or broker == self._members.own
        if everywhere:
            await self._admitting.rename(broker, name)
        member = self._members.roster.members.get(broker)
        alias = None if member is not None and member.name == name else name
        await self._call(broker, alias)
        return self._named(broker) | {"everywhere": everywhere}

    def _require_free(self, broker: BrokerId, name: str) -> None:
        others = (each for each in self._members.roster.members if each != broker)
        if any(name in self._members.names(each) for each in others):
            why = "a name stands for one broker"
            raise Misuse(f"another broker is called {name!r}", code=Code.NAME_IN_USE, why=why, hint="relay brokers")
        if (other := self._members.passes_for(broker, name)) is not None:
            why = f"the id of {self._members.name(other)} begins so: who types it means that broker"
            raise Misuse(f"{name!r} cannot be its name", code=Code.NAME_IN_USE, why=why, hint="choose another name")

    async def _call(self, broker: BrokerId, alias: str | None) -> None:
        await self._journal.commit(lambda entry: records.rename(entry.tx, broker, alias))
        if alias is None:
            self._members.aliases.pop(broker, None)
        else:
            self._members.aliases[broker] = alias
        await self._write_out()

    async def _write_out(self) -> None:
        # what was asked for is done: the file is a copy for commands, and is written with the next change or start
        try:
            await self._keeper.write_out()
        except LocalFault as fault:
            _log.error("%s: %s; it does not say yet what was changed of a member", fault.message, fault.why)

    async def forget(self, text: str) -> dict[str, Any]:
        """Delete what is known of a member beside its membership; what was deleted.

        The highest incarnation seen stays: by it a copy of that machine is told from itself.

        Raises:
            Misuse: it names none, several, or this broker.
        """
        broker = self._another(text, "forget")

        def decide(entry: Entry) -> Peer | None:
            before = peers.BY_ID.one(entry.tx, id=broker)
            records.forget(entry.tx, broker)
            self._heads.forget(entry, broker)
            nothing: dict[str, Any] = {"addresses": (), "last_seen": None, "clock_skew_ms": None}
            peers.change(entry.tx, broker, **nothing, grants_to_us=None, agents=(), version="")
            entry.event("broker.presence", {"broker": broker, "presence": None})
            return before

        before = await self._journal.commit(decide)
        had_record = self._discovery.gossip.forget(broker)
        self._discovery.places.forget(broker)
        self._attendance.forget(broker)
        self._dialler.forget(broker)
        if not self._mesh.is_linked(broker):
            self._there.forget(broker)
        self._mesh.turned_down.pop(broker, None)
        await self._write_out()
        if self._mesh.is_linked(broker):
            # else it could not be dialled should this link break
            self._discovery.gossip.compare_with([broker])
        return {
            "broker": self._members.label(broker),
            "addresses": len(before.addresses) if before else 0,
            "record": had_record,
            "linked": self._mesh.is_linked(broker),
        }


def _hint(hint: Hint) -> dict[str, Any]:
    return {
        "address": hint.address,
        "source": str(hint.source),
        "learnt": rfc3339(hint.learnt or None),
        "expires": rfc3339(hint.expires),
        "worked": rfc3339(hint.worked),
    }

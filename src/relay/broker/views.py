"""What this broker knows, as the JSON of the command contract."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from relay.broker.allowed import Grants
from relay.broker.anew import with_more
from relay.broker.asked_items import moment_or_none
from relay.broker.members import Members
from relay.broker.mesh import Mesh
from relay.broker.presence import Attendance, Presence, is_there
from relay.broker.waiting import Waiting
from relay.broker.waiting_rows import NOTHING, waiting_rows
from relay.broker.words import acknowledgement, reason, rfc3339
from relay.core.ids import BrokerId
from relay.core.records import Record
from relay.core.states import TERMINAL
from relay.core.workplaces import Workplace
from relay.store import peers
from relay.store.audit import AuditRow
from relay.store.engine import Store
from relay.store.peers import Peer
from relay.store.spawn_rows import SpawnRow
from relay.trust.audit import entry_from_bytes


def _not_before(row: SpawnRow) -> int | None:
    """The moment that it waits for, such as a retry's; else the one that was asked for, the same on both sides."""
    return row.wishes.not_before if row.state in TERMINAL or row.not_before is None else row.not_before


class Views:
    """Renders rows for clients.

    Args:
        members: names.
        mesh: who is linked.
        store: peers and outbox.
        grants: who may do what here.
        agents: the names this broker can run.
        version: of the program.
        attendance: who is there.
        trouble: what stands between this broker and another, in words; empty for nothing.
        there: what other brokers say of what waits there, and of what this one may do there.
        said: what a member last said of itself.
    """

    def __init__(
        self,
        members: Members,
        mesh: Mesh,
        store: Store,
        grants: Grants,
        attendance: Attendance,
        trouble: Callable[[BrokerId], str],
        there: Waiting,
        said: Callable[[BrokerId], Record | None],
    ) -> None:
        self._members = members
        self._mesh = mesh
        self._store = store
        self._grants = grants
        self._attendance = attendance
        self._trouble = trouble
        self._there = there
        self._said = said

    # spawns

    def spawn(self, row: SpawnRow, keeper: BrokerId | None = None, why: str = "") -> dict[str, Any]:
        """One spawn.

        Args:
            row: as it stands.
            keeper: the holder that keeps its request for its target, where that is known.
            why: why it waits, where that is known better than its row says.
        """
        row = replace(row, reason=why) if why else row
        name = self._members.name(row.target)
        in_reach = self.is_in_reach(row.target)
        absence = "" if in_reach else self._absence(row.target, name)
        return {
            "id": row.id,
            "name": row.name,
            "broker": self._members.label(row.target),
            "origin": self._members.label(row.origin),
            "requested_by": row.requested_by,
            "agent": row.agent,
            "task": row.task,
            "cwd": row.ran_in or row.cwd,
            "mode": row.mode,
            "model": row.model,
            "state": str(row.state),
            "reason": reason(row, name, absence),
            "since": rfc3339(row.since),
            "attempt": row.attempt,
            "created": rfc3339(row.created),
            "started": rfc3339(row.started),
            "ended": rfc3339(row.ended),
            "exit_code": row.exit_code,
            "signal": row.signal,
            "timeout_s": row.timeout_s,
            "labels": row.labels,
            "chain": list(row.chain),
            "stop_requested": rfc3339(row.stop_requested),
            "priority": row.priority,
            "retries": row.wishes.retries,
            "not_before": rfc3339(_not_before(row)),
            "after": [{"id": each.spawn, "condition": each.condition} for each in row.wishes.after],
            "paused": None if row.paused is None else {"by": row.paused_by, "at": rfc3339(row.paused)},
            "schedule": row.schedule,
            "place": place_view(row.wishes.place),
            "truth": self._truth(row),
            "in_reach": in_reach,
            "ack": acknowledgement(
                row, name, absence, self._members.name(keeper) if keeper else "", self._refusal(row.target)
            ),
            "needs": needs_view(row),
            "resolved": resolved_view(row),
            "result": result_view(row.result),
            "error": error_view(row, name),
        }

    def _absence(self, target: BrokerId, name: str) -> str:
        if self._members.keys(target) is None:
            return f"{name} is no member of the workspace any more"
        return self._attendance.absence(target, name)

    def _refusal(self, target: BrokerId) -> str:
        """Who in between would not keep what is for that broker, and why; empty where it is linked, or none refused."""
        if self._members.keys(target) is None:
            return "nothing goes there until it is invited again"
        if self._attendance.shuts_out(target):
            return "nothing goes there until this one is invited again"
        refused = None if self._mesh.is_linked(target) else self._mesh.refusal(target)
        if refused is None:
            return ""
        return f"{self._members.name(refused[0])} was to keep it for {self._members.name(target)}: {refused[1]}"

    def _is_online(self, broker: BrokerId) -> bool | None:
        return None if self._attendance.of(broker) is None else False

    def is_in_reach(self, broker: BrokerId) -> bool:
        """Whether a broker can be reached now: this one, over a link of its own, or over another's."""
        return broker == self._members.own or is_there(self._mesh, broker)

    def _truth(self, row: SpawnRow) -> dict[str, Any]:
        told = row.at is not None
        return {"from": row.target if told else self._members.own, "at": rfc3339(row.at if told else row.since)}

    def line(self, row: SpawnRow, why: str = "") -> dict[str, Any]:
        """One spawn as it is listed: without what only `show` and `result` need."""
        return self.spawn(row, why=why) | {"task": row.task[:200], "result": None}

    # brokers

    async def brokers(self, own: dict[str, Any]) -> list[dict[str, Any]]:
        """Every member, this broker first.

        Args:
            own: what is known of this broker alone: version, agents.
        """
        waiting = await waiting_rows(self._store, self._members)
        found = {peer.id: peer for peer in await self._store.all(peers.ALL)}
        others = [each.id for each in self._members.others]
        return [self._own(own), *(self._broker(each, found.get(each), waiting.get(each, NOTHING)) for each in others)]

    async def known_of(self, broker: BrokerId) -> dict[str, Any]:
        """What is known here of another broker that cannot be asked now: its own words of earlier."""
        found = {peer.id: peer for peer in await self._store.all(peers.ALL)}
        view = self._broker(broker, found.get(broker), NOTHING)
        absence = self._attendance.absence(broker, self._members.name(broker))
        told = {key: view[key] for key in ("online", "last_seen", "version", "agents")}
        return told | {"absence": absence, "grants": view["grants"]["to_us"]}

    def presence_counts(self) -> dict[str, int]:
        """How many of the others are online, away, and of unknown whereabouts."""
        found = [self._attendance.of(each.id) for each in self._members.others]
        online, unknown = found.count(Presence.ONLINE), found.count(None)
        return {"online": online, "away": len(found) - online - unknown, "unknown": unknown}

    def _own(self, own: dict[str, Any]) -> dict[str, Any]:
        return (
            self._members.label(self._members.own)
            | {"self": True, "online": True, "presence": "online", "last_seen": None, "link": None, "via": None}
            | {"rtt_ms": None, "clock_skew_ms": None, **NOTHING, "outbox_for_us": None, "trouble": None}
            | {"grants": {"to_us": None, "to_us_at": None, "from_us": []}, "capabilities": []}
            | own
        )

    def _broker(self, broker: BrokerId, peer: Peer | None, waiting: dict[str, Any]) -> dict[str, Any]:
        link, via = self._mesh.link(broker), self._mesh.reached_by(broker)
        said = self._said(broker)
        return self._members.label(broker) | {
            "self": False,
            "online": True if link or via else self._is_online(broker),
            "presence": self._attendance.of(broker),
            "last_seen": rfc3339(self._attendance.last(broker)),
            "link": "direct" if link else "relayed" if via else None,
            "via": via,
            "rtt_ms": link.rtt_ms if link else None,
            "clock_skew_ms": self._attendance.skew(peer),
            **waiting,
            "outbox_for_us": self._there.waiting_there(broker),
            "trouble": self._trouble(broker) or None,
            "grants": grants_view(self._there, self._grants, broker),
            "capabilities": list(said.capabilities) if said else [],
            "agents": list(said.agents) if said else [],
            "version": (said.version or None) if said else None,
            "addresses": list(peer.addresses) if peer else [],
        }


def grants_view(there: Waiting, grants: Grants, broker: BrokerId) -> dict[str, Any]:
    """What stands between a broker and this one: its last word with its time, and what is granted here."""
    verbs, at = there.granted_there(broker) or (None, None)
    return {"to_us": verbs, "to_us_at": rfc3339(at), "from_us": grants.verbs_of(broker)}


def needs_view(row: SpawnRow) -> dict[str, Any] | None:
    """What a person is asked, with its times as the contract writes them; None where nobody is, or no more."""
    if row.needs is None or row.state in TERMINAL:
        return None
    known = {key: row.needs.get(key) for key in ("request", "kind", "text", "tool", "input", "hash")}
    return known | {key: rfc3339(moment_or_none(row.needs.get(key))) for key in ("asked", "expires")}


def error_view(row: SpawnRow, broker: str) -> dict[str, Any] | None:
    """Why it is no success; what to type is meant for the clients of this broker, which knows what it was asked."""
    if row.error is None:
        return None
    told = {key: value for key, value in row.error.items() if value is not None}
    more = with_more(row, broker)
    return {"why": "", "hint": ""} | told | ({"hint": more} if more else {})


def result_view(result: dict[str, Any] | None) -> dict[str, Any] | None:
    """What a spawn came to, with all that clients rely on: its target may be of another version."""
    return None if result is None else {"usage": {}, "notes": []} | result


def place_view(place: Workplace | None) -> dict[str, Any] | None:
    """The repository or tree that a spawn works in, where it brings one along; else None."""
    if place is None:
        return None
    kind = "repo" if place.tree is None else place.tree.kind
    shown = {"kind": kind, "repo": place.repo, "ref": place.ref, "sub": place.sub, "push": place.pushed_to}
    tree = place.tree
    return shown | {"key": tree.key if tree else None, "tree": tree.tree if tree else None}


def resolved_view(row: SpawnRow) -> dict[str, Any] | None:
    """What a person said of its end, or None."""
    return None if row.resolved is None else row.resolved | {"at": rfc3339(row.resolved["at"])}


def audit_lines(rows: Sequence[AuditRow], members: Members) -> list[dict[str, Any]]:
    """Audit entries, oldest first."""
    return [_audit_line(row, members) for row in sorted(rows, key=lambda row: row.seq)]


def _audit_line(row: AuditRow, members: Members) -> dict[str, Any]:
    entry = entry_from_bytes(row.entry)
    actor = BrokerId(entry.actor)
    return {
        "seq": entry.seq,
        "at": rfc3339(entry.at),
        "kind": entry.action,
        "decision": entry.outcome,
        "broker": members.label(actor) if len(entry.actor) == 56 else None,
        "actor": entry.actor,
        "code": entry.code,
        "detail": entry.detail,
        "hash": row.hash.hex(),
    }

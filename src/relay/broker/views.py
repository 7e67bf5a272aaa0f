"""What this broker knows, as the JSON of the command contract."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from relay.broker.gate import Grants
from relay.broker.members import Members
from relay.broker.mesh import Mesh
from relay.broker.words import absence, acknowledgement, rfc3339
from relay.core.ids import BrokerId
from relay.core.records import Record
from relay.core.states import State
from relay.store import outbox, peers
from relay.store.audit import AuditRow
from relay.store.engine import Store
from relay.store.outbox import OutboxLine, OutboxState
from relay.store.peers import Peer
from relay.store.spawn_rows import SpawnRow
from relay.trust.audit import entry_from_bytes

MAX_LINES = 1_000


class Views:
    """Renders rows for clients.

    Args:
        members: names.
        mesh: who is linked.
        store: peers and outbox.
        grants: who may do what here.
        agents: the names this broker can run.
        version: of the program.
        clock: milliseconds since 1970.
        said: what a member last said of itself.
    """

    def __init__(
        self,
        members: Members,
        mesh: Mesh,
        store: Store,
        grants: Grants,
        clock: Any,
        said: Callable[[BrokerId], Record | None],
    ) -> None:
        self._members = members
        self._mesh = mesh
        self._store = store
        self._grants = grants
        self._clock = clock
        self._said = said
        self._last_seen: dict[BrokerId, int] = {}

    async def refresh(self) -> None:
        """Read when each peer was last seen."""
        found = await self._store.all(peers.ALL)
        self._last_seen = {peer.id: peer.last_seen for peer in found if peer.last_seen is not None}

    def seen(self, peer: BrokerId) -> None:
        """A link to that peer spoke, or ended just now."""
        self._last_seen[peer] = self._clock()

    def last_seen(self, peer: BrokerId) -> int | None:
        """When that peer was last linked, milliseconds since 1970."""
        return self._clock() if self._mesh.is_linked(peer) else self._last_seen.get(peer)

    def unseen(self, peer: BrokerId) -> None:
        """Nothing is known of that peer any more."""
        self._last_seen.pop(peer, None)

    # spawns

    def spawn(self, row: SpawnRow) -> dict[str, Any]:
        """One spawn."""
        linked = row.target == self._members.own or self._mesh.is_linked(row.target)
        now = self._clock()
        name = self._members.name(row.target)
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
            "reason": self._reason(row, linked, now),
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
            "truth": self._truth(row),
            "ack": acknowledgement(row, name, linked, self._last_seen.get(row.target), now),
            "needs": row.needs,
            "result": row.result,
            "error": row.error,
        }

    def _reason(self, row: SpawnRow, linked: bool, now: int) -> str:
        if row.reason or row.state is not State.QUEUED or linked:
            return row.reason
        return absence(self._members.name(row.target), self._last_seen.get(row.target), now)

    def _truth(self, row: SpawnRow) -> dict[str, Any]:
        told = row.at is not None
        return {"from": row.target if told else self._members.own, "at": rfc3339(row.at if told else row.since)}

    def line(self, row: SpawnRow) -> dict[str, Any]:
        """One spawn as it is listed: without what only `show` and `result` need."""
        return self.spawn(row) | {"task": row.task[:200], "result": None}

    # brokers

    async def brokers(self, own: dict[str, Any]) -> list[dict[str, Any]]:
        """Every member, this broker first.

        Args:
            own: what is known of this broker alone: version, agents.
        """
        waiting = dict(await self._store.all(outbox.WAITING))
        found = {peer.id: peer for peer in await self._store.all(peers.ALL)}
        others = [each.id for each in self._members.others]
        return [self._own(own), *(self._broker(each, found.get(each), waiting.get(each, 0)) for each in others)]

    def _own(self, own: dict[str, Any]) -> dict[str, Any]:
        return (
            self._members.label(self._members.own)
            | {"self": True, "online": True, "last_seen": None, "link": None, "via": None, "rtt_ms": None, "outbox": 0}
            | {"grants": {"to_us": None, "from_us": []}, "capabilities": []}
            | own
        )

    def _broker(self, broker: BrokerId, peer: Peer | None, waiting: int) -> dict[str, Any]:
        link = self._mesh.link(broker)
        said = self._said(broker)
        return self._members.label(broker) | {
            "self": False,
            "online": link is not None,
            "last_seen": rfc3339(self._last_seen.get(broker)),
            "link": "direct" if link else None,
            "via": None,
            "rtt_ms": link.rtt_ms if link else None,
            "outbox": waiting,
            "grants": {"to_us": peer.grants_to_us if peer else None, "from_us": self._grants.verbs_of(broker)},
            "capabilities": list(said.capabilities) if said else [],
            "agents": list(said.agents) if said else [],
            "version": (said.version or None) if said else None,
            "addresses": list(peer.addresses) if peer else [],
        }

    # envelopes

    async def outbox(self) -> dict[str, Any]:
        """Every envelope this broker holds."""
        lines = await self._store.all(outbox.ALL, limit=MAX_LINES)
        alive = [self._envelope(line) for line in lines if line.state is OutboxState.PENDING]
        dead = [self._envelope(line) for line in lines if line.state is OutboxState.DEAD]
        return {"outgoing": alive, "incoming": [], "held_for_others": [], "dead": dead}

    def _envelope(self, line: OutboxLine) -> dict[str, Any]:
        now = self._clock()
        linked = self._mesh.is_linked(line.recipient)
        name = self._members.name(line.recipient)
        return {
            "id": line.id.hex(),
            "kind": line.kind,
            "peer": name,
            "state": str(line.state),
            "age_s": max(now - line.created, 0) / 1000,
            "tries": line.tries,
            "next_try": None,
            "reason": line.reason
            or ("awaits its receipt" if linked else absence(name, self._last_seen.get(line.recipient), now)),
        }


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



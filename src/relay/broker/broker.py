"""The broker as its clients see it: one facade over the rooms, put together by `assemble`."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from relay.api.config import RESERVED_TABLES, Config
from relay.broker.acquaintances import Acquaintances
from relay.broker.admitting import DEFAULT_TTL_MS, Admitting
from relay.broker.allowed import Grants
from relay.broker.auditor import Auditor
from relay.broker.belonging import Belonging
from relay.broker.blobs.room import Blobs
from relay.broker.code_invites import DEFAULT_TTL_MS as CODE_TTL_MS
from relay.broker.dashboard_seat import DashboardSeat
from relay.broker.envelopes import Envelopes
from relay.broker.hub import Hub
from relay.broker.live_rooms import LiveRooms
from relay.broker.members import Members
from relay.broker.mesh import Mesh
from relay.broker.notify.room import Notify
from relay.broker.orders import Order
from relay.broker.persons import Persons
from relay.broker.queueing import Queueing
from relay.broker.requests import Requests
from relay.broker.results import Results
from relay.broker.tasks import Caller, Tasks
from relay.broker.tools.room import Tools
from relay.broker.views import Views
from relay.broker.words import rfc3339
from relay.core.errors import LocalFault
from relay.core.ids import BrokerId
from relay.core.states import IN_HAND, NEEDS_A_PERSON, NOT_STARTED, State
from relay.core.values import frozen
from relay.spawn.agents.registry import Agents
from relay.spawn.queue import PAUSED, pause_from
from relay.spawn.supervisor import Supervisor
from relay.store import events, held, meta, outbox
from relay.store.engine import Store
from relay.store.events import Event
from relay.store.journal import Entry, Journal
from relay.store.spawn_rows import COUNTS, RUNNING_ON
from relay.trust.workspace import Workspace


@frozen
class Facts:
    """What a broker says of itself.

    Attributes:
        version: of the program.
        since: when it started, milliseconds since 1970.
        listen: where it listens, as it is.
        sqlite: the library's version.
        takes_in: whether envelopes of others are taken in, or the store is an older copy of itself.
        config: the settings it was started with.
    """

    version: str
    since: int
    listen: Callable[[], tuple[str, ...]]
    sqlite: str
    takes_in: Callable[[], bool]
    config: Config


@dataclass(slots=True)
class Broker:
    """One broker's rooms, for the control API."""

    facts: Facts
    members: Members
    workspace: Workspace
    store: Store
    journal: Journal
    mesh: Mesh
    hub: Hub
    views: Views
    envelopes: Envelopes
    requests: Requests
    tasks: Tasks
    queueing: Queueing
    supervisor: Supervisor
    agents: Agents
    grants: Grants
    auditor: Auditor
    admitting: Admitting
    results: Results
    blobs: Blobs
    persons: Persons
    notify: Notify
    tools: Tools
    live: LiveRooms
    stop: Callable[[], None]
    rejoin: Callable[[str, str | None, str | None], Any]
    trust_changed: Callable[[], Any]
    keep_identity: Callable[[], Any]
    checks: Callable[[], Any]
    acquaintances: Acquaintances
    belonging: Belonging
    dashboard: DashboardSeat

    # what it is

    async def status(self) -> dict[str, Any]:
        """`relay status`."""
        counts = dict(await self.store.all(COUNTS, target=self.members.own))
        everywhere = Counter(dict(await self.store.all(COUNTS, target=None)))
        unseen = await self.unseen()
        totals = await self.store.one(outbox.TOTALS)
        kept, kept_bytes = await self.store.one(held.TOTALS) or (0, 0)
        assert totals is not None
        return {
            "broker": self.members.label(self.members.own) | {"version": self.facts.version},
            "running": True,
            "pid": os.getpid(),
            "since": rfc3339(self.facts.since),
            "listen": list(self.facts.listen()),
            "workspace": self.workspace_json(),
            "links": len(self.mesh.up),
            "brokers": self.views.presence_counts(),
            "outbox": {"envelopes": totals.envelopes, "bytes": totals.bytes, "oldest": rfc3339(totals.oldest)},
            "held": {"envelopes": kept, "bytes": kept_bytes},
            "tasks": {
                "running": sum(counts.get(state, 0) for state in IN_HAND),
                "waiting": counts.get(State.WAITING, 0),
                "held": counts.get(State.HELD, 0),
            },
            "everywhere": {
                "running": everywhere[State.RUNNING] + everywhere[State.STARTING] - unseen,
                "unreachable": unseen,
                "needs_you": sum(everywhere[state] for state in NEEDS_A_PERSON),
                "queued": sum(everywhere[state] for state in NOT_STARTED - NEEDS_A_PERSON),
            },
            "queue": {"paused": await self._paused()},
            "intake": self.facts.takes_in(),
            "store": {"ok": not self.store.trouble, "sqlite": self.facts.sqlite},
        }

    async def unseen(self) -> int:
        """How many spawns ran by the last word of a broker that cannot be asked now."""
        running_on = await self.store.all(RUNNING_ON)
        return sum(count for target, count in running_on if not self.views.is_in_reach(BrokerId(target)))

    async def _paused(self) -> dict[str, Any] | None:
        paused = pause_from(await self.store.one(meta.VALUE, key=PAUSED))
        return None if paused is None else {"by": paused["by"], "at": rfc3339(paused["at"])}

    def workspace_json(self) -> dict[str, Any]:
        """The workspace as JSON answers show it."""
        return {"id": self.workspace.id, "name": self.workspace.name, "epoch": self.workspace.epoch}

    def settings(self) -> dict[str, Any]:
        """The settings as they hold in this broker, whatever config.toml says by now; the reserved tables left out."""
        held = dataclasses.asdict(self.facts.config)
        return {key: value for key, value in held.items() if key not in RESERVED_TABLES}

    async def examine(self) -> list[dict[str, Any]]:
        """`relay doctor`, as far as only the broker can look."""
        found: list[dict[str, Any]] = await self.checks()
        return found

    def ask_to_stop(self) -> None:
        """Stop soon; what it runs goes on."""
        self.tools.ends_for_good()
        asyncio.get_running_loop().call_later(0.05, self.stop)

    async def brokers(self) -> list[dict[str, Any]]:
        """`relay brokers`."""
        own = {"version": self.facts.version, "agents": self.agents.installed(), "addresses": list(self.facts.listen())}
        cut = self.auditor.heads.cut_elsewhere
        return [
            each | {"audit_cut": rfc3339(cut[each["id"]].cut) if each["id"] in cut else None}
            for each in await self.views.brokers(own)
        ]

    # spawns

    async def ordered(self, body: dict[str, Any], caller: Caller | None = None) -> Order:
        """The order in a client's JSON, what it comes after found; with its chain where a task asks.

        Raises:
            Misuse: a field is missing or wrong.
        """
        broker = body.get("broker")
        target = self.members.resolve(broker) if isinstance(broker, str) else self.members.own
        order = self.requests.read(await self.queueing.predecessors.resolved(body, target))
        return await self.tasks.ordered(order, caller)

    # the mesh

    async def invite(self, operation: str, ttl_s: float | None, by_code: bool) -> dict[str, Any]:
        """`relay invite`, by a code that is read out or by a link."""
        if by_code:
            made = await self.admitting.invite_by_code(operation, CODE_TTL_MS if ttl_s is None else int(ttl_s * 1000))
            return made | {"expires": rfc3339(made["expires"])}
        link, expires = await self.admitting.invite(operation, DEFAULT_TTL_MS if ttl_s is None else int(ttl_s * 1000))
        return {"link": link, "expires": rfc3339(expires)}

    async def join(self, invite: str, address: str | None, name: str | None) -> dict[str, Any]:
        """`relay join` while this broker runs: it changes its workspace and starts anew."""
        joined: dict[str, Any] = await self.rejoin(invite, address, name)
        return joined

    async def grants_changed(self) -> dict[str, Any]:
        """trust.toml was edited: what a revoked grant had allowed ends."""
        await self.trust_changed()
        await self.supervisor.start_waiting()

        def decide(entry: Entry) -> None:
            entry.event("grant.changed", {})

        await self.journal.commit(decide)
        try:
            return {"grants": len(self.grants.all())}
        except LocalFault as fault:
            return {"grants": 0, "error": fault.to_json()}

    # what happened

    async def events(self, since: int | None, follow: bool) -> AsyncIterator[Event]:
        """`relay events`; without a number, from now on."""
        if since is None:
            since = (await self.store.one(events.HIGHEST) or 0) if follow else 0
        async for event in self.hub.stream(since, follow):
            yield event


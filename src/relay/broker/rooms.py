"""The rooms of one broker, put together over its store; those that are made later are asked for when needed."""

from __future__ import annotations

import asyncio
import os
import time
from functools import partial
from pathlib import Path

from relay.api.config import Config
from relay.api.home import Home
from relay.broker.addresses import told
from relay.broker.admitting import Admitting
from relay.broker.allowed import Grants
from relay.broker.auditor import Auditor
from relay.broker.belonging import Belonging
from relay.broker.broker import Broker, Facts
from relay.broker.checkup import Checkup
from relay.broker.clocks import Clocks
from relay.broker.correspondence import Correspondence
from relay.broker.custody import Custody
from relay.broker.dashboard_seat import DashboardSeat, Open
from relay.broker.dialler import Dialler
from relay.broker.discovery_assembly import acquaintances_of, discovery_of
from relay.broker.end import End
from relay.broker.epoch_dial import EpochDial
from relay.broker.gate import Gate
from relay.broker.greeting import Greeter, fresh_incarnation
from relay.broker.handing import Handing
from relay.broker.hub import Hub
from relay.broker.inbox_assembly import inbox_of
from relay.broker.link import CLOCK_SET, TWO_MACHINES
from relay.broker.live_rooms import LiveRooms
from relay.broker.log_reading import LogClient
from relay.broker.log_serving import LogServer
from relay.broker.logs import LocalLogs
from relay.broker.members import Members
from relay.broker.membership import Membership
from relay.broker.mesh import Mesh
from relay.broker.notify.room import Notify
from relay.broker.outbox import Outbox
from relay.broker.persons import Persons
from relay.broker.postbox import SealingPostbox
from relay.broker.queueing import Queueing
from relay.broker.rationing import Rationing
from relay.broker.requests import Requests
from relay.broker.results import Results
from relay.broker.rights import Rights
from relay.broker.rollback import Rollback
from relay.broker.roster import RosterKeeper
from relay.broker.taking_in import Keys, take_in
from relay.broker.tasks import Tasks
from relay.broker.tools.as_agents import as_agents
from relay.broker.tools.hosting import Hosting
from relay.broker.tools.room import Tools
from relay.broker.views import Views
from relay.core.hello import Incarnation
from relay.core.ids import BrokerId
from relay.spawn.agents.registry import Agents
from relay.spawn.asking import Asking
from relay.spawn.attempting import Attempting
from relay.spawn.environment import task_environment
from relay.spawn.growth import Growth
from relay.spawn.launcher import Launcher
from relay.spawn.ledger import Ledger
from relay.spawn.limits import Limits
from relay.spawn.remains import Remains
from relay.spawn.supervisor import Supervisor
from relay.spawn.watch import Watcher
from relay.store import offers, peers
from relay.store.engine import Store
from relay.store.journal import Journal
from relay.store.query import SQLITE_VERSION
from relay.store.reserve import Reserve
from relay.trust.identity import Identity
from relay.trust.joining import join


def wall_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Rooms:
    """All rooms of a broker, and what several of them do together. `Running` opens and closes them."""

    store: Store
    open_face: Open

    def __init__(
        self, home: Home, config: Config, keys: Keys, version: str, launcher: Launcher, watcher: Watcher
    ) -> None:
        self.home = home
        self.config = config
        self.keys = keys
        self.end = End()
        self._version = version
        self._launcher = launcher
        self._watcher = watcher
        self._listening: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def listening(self) -> tuple[str, ...]:
        """Where it listens, as it is."""
        return tuple(self._listening)

    # putting together

    async def put_together(self) -> None:
        """Make the rooms, with what the store remembers of the peers."""
        counter, roster, read = await self.store.write(lambda tx: take_in(tx, self.home, self.keys))
        incarnation = fresh_incarnation(counter)
        identity = self.keys.identity
        self.members = Members(identity.id, self.config.name or "this-machine", roster)
        self.auditor = Auditor(self.store, identity)
        await self.auditor.open()
        self.hub = Hub(self.store)
        self._mesh_rooms(identity, incarnation)
        self._spawn_rooms(identity)
        self._serving_rooms(identity)
        # before the spawns of an earlier run are looked at: one of them may be a runner's
        self.agents.runners = as_agents(await self.store.all(offers.ALL), identity.id)
        await self.keeper.load(read)
        await self._remember_peers()

    def _mesh_rooms(self, identity: Identity, incarnation: Incarnation) -> None:
        self.greeter = Greeter(
            identity,
            incarnation,
            self.members,
            audit_head=lambda: self.auditor.head,
            addresses=lambda: told(self._listening),
            always_on=self.config.always_on,
            clock=wall_ms,
            of_audit=self.auditor.heads.told,
        )
        postbox = SealingPostbox(identity, self.members, incarnation.counter, lambda peer: self.mesh.has_way(peer))
        self.postbox: SealingPostbox = postbox
        self.journal = Journal(self.store, postbox, wall_ms)
        self.mesh = Mesh(
            self.greeter, postbox, wall_ms, lambda peer: self.discovery.book.linked_to(peer), self._believed
        )
        self.outbox = Outbox(self.store, self.mesh.wake, self.mesh.router.way, wall_ms)
        self.clocks = Clocks(self.mesh.is_linked, wall_ms)
        always_on, may_expire = self.config.always_on, self.clocks.may_expire
        self.custody = Custody(
            self.store, self.members, always_on, self.mesh.is_linked, self.mesh.wake, wall_ms, may_expire
        )
        self.handing = Handing(
            self.store, self.outbox, self.mesh.router, self.mesh.is_linked, self.mesh.reaches, wall_ms
        )
        self.keeper = RosterKeeper(self.keys.workspace, self.members, self.journal, self.home)
        self.discovery = discovery_of(self, incarnation.counter, self._version)
        dialled = EpochDial(self.keys.workspace, identity)
        self.dialler = Dialler(dialled, self.discovery.addresses, self.mesh.is_linked, self.mesh.carry)
        self.keeper.connect(self.discovery.roster_changed)
        self.grants = Grants(Path(self.home.trust))
        self.grants.has_passed = self.clocks.has_passed
        self.letters = Correspondence(
            self.members, self.journal, self.mesh, self.dialler, postbox, self.grants, self.discovery.spoke
        )

    def _believed(self, peer: BrokerId) -> list[BrokerId]:
        return self.discovery.book.believed(peer, self.letters.attendance.left(peer))

    def _spawn_rooms(self, identity: Identity) -> None:
        self.agents = Agents(Path(self.home.agents), self.config.env)
        self.gate = Gate(self.members, self.grants, self.agents, self.auditor, Path(self.home.worktrees))
        self.rationing = Rationing(self.grants.had, self.auditor, self.store)
        self.ledger = Ledger(identity)
        self.reserve = Reserve(Path(self.home.reserve))
        self.asking = Asking(identity.id, self.ledger, self.config.watchdog, self.members.name)
        attempting = Attempting(Path(self.home.attempts), self._launcher, self._watcher)
        self.tasks = Tasks(identity, self.members, self.store, attempting, lambda: self._launcher.server_pid)
        self.supervisor = Supervisor(
            identity.id,
            self.journal,
            self.ledger,
            attempting,
            self.agents,
            self.gate.judge,
            self.limits(),
            Growth(),
            self.reserve,
            self.asking,
            Remains.at(Path(self.home.worktrees)),
            self.clocks.may_expire,
            self.gate.may_view,
        )

    def limits(self) -> Limits:
        """What this machine gives to tasks."""
        config, own = self.config, dict(os.environ)
        made = partial(task_environment, own, config.env)
        return Limits(config.max_parallel, config.default_timeout, config.log_limit, made, config.slots)

    def _serving_rooms(self, identity: Identity) -> None:
        attendance, there, said = self.letters.attendance, self.letters.waiting, self.discovery.said
        self.views = Views(self.members, self.mesh, self.store, self.grants, attendance, self._trouble, there, said)
        self.requests = Requests(self.members, self.journal, self.supervisor, self.outbox, self.tasks)
        self.supervisor.room.unsent = self.requests.expire_unsent
        self.requests.on_deadline = self.supervisor.room.ends_with
        self.queueing = Queueing(self)
        self.membership = Membership(
            self.members,
            self.keeper,
            self.mesh,
            self.dialler,
            self.journal,
            self.auditor,
            self.grants,
            self.letters.attendance,
            self.clocks,
            lambda seen: self.rollback.found(max(seen, self.greeter.seen_of_us)),
        )
        self.local_logs = LocalLogs(self.store, self.supervisor)
        self.log_server = LogServer(self.local_logs, self.store, self.gate, self.mesh, wall_ms)
        self.log_client = LogClient(self.mesh, self.store, self.supervisor, self.members.require)
        written = self.rationing.may_be_written
        rights = Rights(self.members.own, self.store, self.gate, self.auditor, self.journal, written)
        listens = (lambda: self.listening) if self.config.attach_direct else None
        self.live = LiveRooms(self.members, self.mesh, self.supervisor, self.local_logs, rights, self.hub, listens)
        self.admitting = Admitting(
            identity,
            self.keys.workspace,
            self.members,
            self.keeper,
            self.journal,
            self.auditor,
            lambda: told(self._listening),
        )
        self.belonging = Belonging(self)
        self.results = Results(self)
        self.blobs = self.results.blobs
        self.persons = Persons(self)
        self.notify = Notify(self)
        self.tools = Tools(self, Hosting(self.home))
        self.inbox = inbox_of(self)
        self.inbox.on_word = self.letters.attendance.heard
        self.rollback = Rollback(self.store, self.journal, self.auditor, self.inbox, self.greeter)
        self.broker = self._broker(identity)

    def _broker(self, identity: Identity) -> Broker:
        self.checkup = Checkup(
            self.home.folder,
            self.store,
            self.members,
            self.mesh,
            self.dialler,
            self.grants,
            self.agents,
            self.config,
            self.letters.attendance,
        )
        sqlite, takes_in = ".".join(map(str, SQLITE_VERSION)), lambda: self.inbox.is_open
        return Broker(
            facts=Facts(self._version, wall_ms(), lambda: told(self._listening), sqlite, takes_in, self.config),
            members=self.members,
            workspace=self.keys.workspace,
            store=self.store,
            journal=self.journal,
            mesh=self.mesh,
            hub=self.hub,
            views=self.views,
            envelopes=self.letters.envelopes(self.requests, self.tools.asking, self.persons.answers),
            requests=self.requests,
            tasks=self.tasks,
            queueing=self.queueing,
            supervisor=self.supervisor,
            agents=self.agents,
            grants=self.grants,
            auditor=self.auditor,
            admitting=self.admitting,
            results=self.results,
            blobs=self.blobs,
            persons=self.persons,
            notify=self.notify,
            tools=self.tools,
            live=self.live,
            stop=self.end.stop,
            rejoin=self._rejoin,
            trust_changed=self.belonging.grants_changed,
            keep_identity=self._keep_identity,
            checks=self._checks,
            acquaintances=acquaintances_of(self),
            belonging=self.belonging,
            dashboard=DashboardSeat(self),
        )

    async def _remember_peers(self) -> None:
        for peer in await self.store.all(peers.ALL):
            self.letters.attendance.remember(peer)
            if peer.nonce is not None:
                self.greeter.remember(peer.id, Incarnation(peer.incarnation, peer.nonce, peer.start_proof or b""))
        await self.discovery.load()
        await self.clocks.open(self.store)
        await self.inbox.poison.open()
        await self.rollback.open()

    def woke(self) -> None:
        """The machine slept, its clock was set, or its network changed: every link is checked, everybody dialled."""
        for link in self.mesh.up:
            link.check_now()
        self.letters.reissue.clock_was_set()
        self.dialler.poke()
        self.discovery.woke()
        self.supervisor.room.clock_was_set()
        self.tools.clock_was_set()

    def greet_anew(self) -> None:
        """The clock was set: what it shows stands in the hello, and others show, and expire, by the hello's."""
        self.clocks.part()
        for link in self.mesh.up:
            link.close(CLOCK_SET)

    def _trouble(self, peer: BrokerId) -> str:
        return TWO_MACHINES if self.membership.is_cloned(peer) else self.letters.trouble(peer)

    # changing

    async def _rejoin(self, invite: str, address: str | None, name: str | None) -> dict[str, object]:
        joined = await join(self.home, invite, address, name or self.members.own_name, told(self._listening))
        self.end.start_anew()
        workspace = joined.workspace
        return {
            "broker": {"id": joined.own, "name": name or self.members.own_name},
            "workspace": {"id": workspace.id, "name": workspace.name, "epoch": workspace.epoch},
            "compare": joined.compared,
        }

    async def _keep_identity(self) -> bool:
        was_stopped = await self.rollback.keep()
        if was_stopped:
            self.end.start_anew()
        return was_stopped

    async def _checks(self) -> list[dict[str, object]]:
        known = [self.rollback.finding(), *self.membership.findings(), *await self.notify.found()]
        return [*known, *self.tools.hosting.found(), *await self.checkup.run()]

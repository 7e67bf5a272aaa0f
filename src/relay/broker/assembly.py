"""One broker put together from its home: the order of things at start and at the end."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from relay.api.config import Config, split_address
from relay.api.home import Home, make_socket_folder
from relay.broker.addresses import default_listen, told
from relay.broker.admitting import Admitting
from relay.broker.auditor import Auditor
from relay.broker.broker import Broker, Facts
from relay.broker.carrier import Carrier
from relay.broker.checkup import Checkup
from relay.broker.control.application import application
from relay.broker.control.server import ControlServer
from relay.broker.correspondence import Correspondence
from relay.broker.dialler import Dialler
from relay.broker.dispatch import Dispatch
from relay.broker.gate import Gate, Grants
from relay.broker.greeting import Greeter, fresh_incarnation
from relay.broker.housekeeping import Housekeeping
from relay.broker.hub import Hub
from relay.broker.inbox import Inbox
from relay.broker.link import TWO_MACHINES, Link
from relay.broker.logs import LocalLogs, LogClient, LogServer
from relay.broker.members import Members
from relay.broker.membership import Membership
from relay.broker.mesh import Mesh
from relay.broker.outbox import Outbox
from relay.broker.postbox import SealingPostbox
from relay.broker.rationing import Rationing
from relay.broker.requests import Requests
from relay.broker.rollback import Rollback
from relay.broker.roster import RosterKeeper
from relay.broker.taking_in import Keys, take_in
from relay.broker.tidying import Tidying
from relay.broker.views import Views
from relay.broker.websocket import Listener, dial
from relay.core.hello import Incarnation
from relay.core.ids import BrokerId
from relay.spawn.agents.registry import Agents
from relay.spawn.attempting import Attempting
from relay.spawn.environment import task_environment
from relay.spawn.growth import Growth
from relay.spawn.launcher import Launcher
from relay.spawn.ledger import Ledger
from relay.spawn.limits import Limits
from relay.spawn.supervisor import Supervisor
from relay.spawn.watch import Watcher
from relay.store import peers
from relay.store.engine import Store
from relay.store.events import Event
from relay.store.journal import Journal
from relay.store.query import SQLITE_VERSION
from relay.store.reserve import Reserve
from relay.store.spawn_rows import SpawnRow
from relay.trust.identity import Identity
from relay.trust.joining import join
from relay.trust.tls import link_client_context, link_server_context


def wall_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Running:
    """A broker that runs. Made by `start`, ended by `close`."""

    def __init__(
        self, home: Home, config: Config, keys: Keys, version: str, launcher: Launcher, watcher: Watcher
    ) -> None:
        self.home = home
        self.config = config
        self.keys = keys
        self.stopped = asyncio.Event()
        self.again = False
        self._version = version
        self._launcher = launcher
        self._watcher = watcher
        self._listening: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def listening(self) -> tuple[str, ...]:
        """Where it listens, as it is."""
        return tuple(self._listening)

    async def start(self) -> None:
        """Open the store, take the roster in, listen, recover, serve.

        Raises:
            RelayError: why it cannot.
        """
        self.store = await Store.open(Path(self.home.database))
        try:
            await self._put_together()
            await self._open()
        except BaseException:
            await self.store.close()
            raise

    # putting together

    async def _put_together(self) -> None:
        counter, roster = await self.store.write(lambda tx: take_in(tx, self.home, self.keys))
        incarnation = fresh_incarnation(counter)
        identity = self.keys.identity
        self.members = Members(identity.id, self.config.name or "this-machine", roster)
        self.auditor = Auditor(self.store)
        await self.auditor.open()
        self.hub = Hub(self.store)
        self._mesh_rooms(identity, incarnation)
        self._spawn_rooms(identity)
        self._serving_rooms(identity)
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
        )
        postbox = SealingPostbox(identity, self.members, incarnation.counter, lambda peer: self.mesh.is_linked(peer))
        self.journal = Journal(self.store, postbox, wall_ms)
        self.outbox = Outbox(self.store, lambda peer: self.mesh.wake(peer))
        self.mesh = Mesh(self.greeter, self.outbox, postbox, wall_ms)
        self.keeper = RosterKeeper(self.keys.workspace, self.members, self.journal, self.home)
        client = link_client_context(self.keys.workspace, identity)

        async def dialled(address: str, peer: BrokerId) -> Carrier:
            return await dial(address, peer, client)

        self.dialler = Dialler(dialled, self._addresses, self.mesh.is_linked, self.mesh.carry)
        self.letters = Correspondence(self.members, self.journal, self.mesh, self.dialler, postbox)

    def _spawn_rooms(self, identity: Identity) -> None:
        self.agents = Agents(Path(self.home.agents))
        self.grants = Grants(Path(self.home.trust))
        self.gate = Gate(self.members, self.grants, self.agents, self.auditor, Path(self.home.worktrees))
        self.rationing = Rationing(self.gate.may_spawn, self.auditor)
        self.ledger = Ledger(identity)
        self.reserve = Reserve(Path(self.home.reserve))
        self.supervisor = Supervisor(
            identity.id,
            self.journal,
            self.ledger,
            Attempting(Path(self.home.attempts), self._launcher, self._watcher),
            self.agents,
            self.gate.judge,
            self._limits(),
            Growth(),
            self.reserve,
            lambda: self.membership.may_expire(),
        )

    def _limits(self) -> Limits:
        def environment(additions: dict[str, str], spawn: str) -> dict[str, str]:
            return task_environment(os.environ, self.config.env, additions, spawn)

        return Limits(self.config.max_parallel, self.config.default_timeout, environment)

    def _serving_rooms(self, identity: Identity) -> None:
        self.views = Views(self.members, self.mesh, self.store, self.grants, self.letters.attendance, self._trouble)
        self.requests = Requests(self.members, self.journal, self.supervisor, self.outbox)
        self.membership = Membership(
            self.members,
            self.keeper,
            self.mesh,
            self.dialler,
            self.journal,
            self.auditor,
            Path(self.home.trust),
            self.letters.attendance,
            lambda: self.rollback.found(self.greeter.seen_of_us),
        )
        self.local_logs = LocalLogs(self.store, self.supervisor)
        self.log_server = LogServer(self.local_logs, self.store, self.gate, self.mesh, wall_ms)
        self.log_client = LogClient(self.mesh, self.store, self.supervisor)
        self.admitting = Admitting(
            identity,
            self.keys.workspace,
            self.members,
            self.keeper,
            self.journal,
            self.auditor,
            lambda: told(self._listening),
        )
        self.inbox = self._inbox(identity)
        self.rollback = Rollback(self.store, self.journal, self.auditor, self.inbox)
        self.broker = self._broker()

    def _inbox(self, identity: Identity) -> Inbox:
        may_expire, ration = self.membership.may_expire, self.rationing.refusal
        dispatch = Dispatch(self.members, self.gate, self.auditor, self.ledger, self.supervisor, may_expire)
        answered = self.letters.hears(self.requests)
        hears = answered | self.membership.hears | self.log_server.hears | self.log_client.hears
        say = self.mesh.say
        return Inbox(identity, self.members, self.journal, say, dispatch.acts, hears, may_expire, ration)

    def _broker(self) -> Broker:
        self.checkup = Checkup(
            self.home.folder, self.store, self.members, self.mesh, self.dialler, self.grants, self.agents
        )
        return Broker(
            facts=Facts(self._version, wall_ms(), lambda: told(self._listening), ".".join(map(str, SQLITE_VERSION))),
            members=self.members,
            workspace=self.keys.workspace,
            store=self.store,
            journal=self.journal,
            mesh=self.mesh,
            hub=self.hub,
            views=self.views,
            envelopes=self.letters.envelopes(self.requests),
            requests=self.requests,
            supervisor=self.supervisor,
            agents=self.agents,
            grants=self.grants,
            auditor=self.auditor,
            admitting=self.admitting,
            local_logs=self.local_logs,
            remote_logs=self.log_client,
            stop=self.stopped.set,
            rejoin=self._rejoin,
            trust_changed=self._trust_changed,
            keep_identity=self._keep_identity,
            checks=self._checks,
        )

    async def _remember_peers(self) -> None:
        for peer in await self.store.all(peers.ALL):
            self.letters.attendance.remember(peer)
            if peer.nonce is not None:
                self.greeter.remember(peer.id, Incarnation(peer.incarnation, peer.nonce))
        await self.inbox.poison.open()
        await self.rollback.open()

    # opening

    async def _open(self) -> None:
        self.mesh.connect(self.inbox.take, self._link_changed, self.membership.clone_turned_away)
        self.journal.connect(self.outbox.posted, self._happened)
        self.listener = Listener(
            link_server_context(self.keys.workspace, self.keys.identity), self.mesh.carry, self.admitting.pair
        )
        make_socket_folder(self.home)
        self.control = ControlServer(application(self.broker), self.home.socket)
        try:
            await self._listen()
            await asyncio.to_thread(self.reserve.hold)
            await self.keeper.write_out()
            await self.supervisor.recover()
        except BaseException:
            await self.control.close()
            await self.listener.close()
            raise
        await self.control.start()
        self.dialler.use(member.id for member in self.members.others)
        housekeeping = Housekeeping(
            self.journal,
            self.requests,
            self.supervisor,
            self.reserve,
            self._woke,
            self.membership.may_expire,
            Tidying(Path(self.home.attempts), self.config.retention, self.letters.reissue, self.rationing),
        )
        self._tasks.append(asyncio.get_running_loop().create_task(housekeeping.run()))

    async def _listen(self) -> None:
        wanted = tuple(map(split_address, self.config.listen)) or default_listen()
        for host, port in wanted:
            self._listening.append(await self.listener.listen(host, port))

    def _happened(self, event: Event, subject: SpawnRow | None) -> None:
        self.hub.publish(event, subject)
        if event.kind == "spawn.state":
            self.supervisor.growth.grew(str(event.data["spawn"]))

    def _link_changed(self, link: Link, up: bool) -> None:
        self.letters.link_changed(link, up)
        self.membership.link_changed(link, up)
        self.log_client.link_changed()

    def _woke(self) -> None:
        for link in self.mesh.up:
            link.check_now()
        self.dialler.poke()

    def _trouble(self, peer: BrokerId) -> str:
        return TWO_MACHINES if self.membership.is_cloned(peer) else self.letters.trouble(peer)

    async def _addresses(self, peer: BrokerId) -> tuple[str, ...]:
        found = await self.store.one(peers.BY_ID, id=peer)
        return tuple(found.addresses) if found else ()

    # changing

    async def _rejoin(self, link: str, name: str | None) -> dict[str, object]:
        joined = await join(self.home, link, name or self.members.own_name, told(self._listening))
        self.again = True
        asyncio.get_running_loop().call_later(0.05, self.stopped.set)
        workspace = joined.workspace
        return {
            "broker": {"id": joined.own, "name": name or self.members.own_name},
            "workspace": {"id": workspace.id, "name": workspace.name, "epoch": workspace.epoch},
        }

    async def _keep_identity(self) -> bool:
        was_stopped = await self.rollback.keep()
        if was_stopped:
            self.again = True
            asyncio.get_running_loop().call_later(0.05, self.stopped.set)
        return was_stopped

    async def _checks(self) -> list[dict[str, object]]:
        return [self.rollback.finding(), *self.membership.findings(), *await self.checkup.run()]

    async def _trust_changed(self) -> None:
        await self.requests.end_what_is_not_granted(self.gate.may_spawn)

    # ending

    async def close(self, reason: str) -> None:
        """Stop taking things in, say goodbye, and let everything that runs go on.

        Args:
            reason: what peers are told.
        """
        for task in self._tasks:
            task.cancel()
        self.hub.close()
        self.log_server.close()
        await self.control.close()
        self.dialler.rest()
        await self.mesh.close(reason)
        await self.dialler.close()
        await self.listener.close()
        await self.supervisor.close()
        await self.membership.close()
        await self.store.close()

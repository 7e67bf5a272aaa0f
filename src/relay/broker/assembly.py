"""One broker that runs: the order of things at its start and at its end."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from pathlib import Path

from relay.api.config import split_address
from relay.api.home import Home, make_socket_folder, require_private
from relay.broker.carrier import Carrier
from relay.broker.control.application import application
from relay.broker.control.server import ControlServer
from relay.broker.housekeeping import Housekeeping
from relay.broker.link import Link
from relay.broker.listening import Listening
from relay.broker.rooms import Rooms
from relay.broker.stops_without_room import StopsWithoutRoom
from relay.broker.tidying import Tidying
from relay.broker.wakes import Wakes
from relay.broker.websocket import Listener
from relay.store.engine import Store
from relay.store.events import Event
from relay.store.spawn_rows import SpawnRow
from relay.trust.tls import link_server_context


class Running(Rooms):
    """A broker that runs. Made by `start`, ended by `close`."""

    async def start(self) -> None:
        """Open the store, take the roster in, listen, recover, serve.

        Raises:
            RelayError: why it cannot.
        """
        self.store = await Store.open(Path(self.home.database))
        try:
            await self.put_together()
            await self._open()
        except BaseException:
            await self.store.close()
            raise

    # opening

    async def _open(self) -> None:
        self._recovered = asyncio.Event()
        await self.outbox.open()
        await self.custody.open()
        self.mesh.connect(
            self.outbox, self.custody, self.inbox.take, self._link_changed, self.membership.clone_turned_away
        )
        self.journal.connect(self.outbox.posted, self._happened)
        stops = StopsWithoutRoom(self.store, self.supervisor, self.members, self.journal.clock)
        self.inbox.without_room = stops.came
        self.listener = Listener(
            link_server_context(self.keys.workspace, self.keys.identity), self._welcome, self.admitting.pair
        )
        make_socket_folder(self.home)
        require_private(self.home)
        self.control = ControlServer(application(self.broker), self.home.socket, partial(_make_room, self.home))
        try:
            await self._listen()
            await asyncio.to_thread(self.reserve.hold)
            await self.keeper.write_out()
            await self.blobs.open()  # before any attempt is taken up: what it made may have to be kept
            await self.supervisor.remains.open()
            wakes = Wakes(self.woke, self.greet_anew)  # from before anything waits for a moment
            await self.supervisor.recover()
            await self.belonging.open()
            await self.persons.open()
            await self.notify.open()
            await self.tools.open()
            await self.broker.dashboard.load()
        except BaseException:
            await self.control.close()
            await self.listener.close()
            raise
        self._recovered.set()
        self.queueing.open()
        await self.control.start()
        await self.tools.ready()
        self.dialler.use(member.id for member in self.members.others)
        self.discovery.start()
        housekeeping = Housekeeping(
            self.journal,
            self.requests,
            self.supervisor,
            self.reserve,
            self.handing,
            self.clocks,
            Tidying(
                Path(self.home.attempts),
                self.config.retention,
                self.letters.reissue,
                self.rationing,
                self.results.durations.write_down,
                self.tools.forget,
            ),
            self._look,
            self.tools.expire,
        )
        for again_and_again in (housekeeping.run(), wakes.run()):
            self._tasks.append(asyncio.get_running_loop().create_task(again_and_again))
        if self.broker.dashboard.is_in_use:
            self._tasks.append(asyncio.get_running_loop().create_task(self.broker.dashboard.open_again(self.broker)))

    async def _look(self) -> None:
        await self.control.look()
        await self.belonging.look()

    async def _listen(self) -> None:
        wanted = tuple(map(split_address, self.config.listen))
        self._places = Listening(self.listener.listen, wanted, self._listening)
        await self._places.open()

    async def _welcome(self, carrier: Carrier) -> None:
        # what came and was started before would be taken for what an earlier run of this broker left
        await self._recovered.wait()
        await self.mesh.carry(carrier)

    def woke(self) -> None:
        """As `Rooms.woke`; an address that has come meanwhile is listened on."""
        super().woke()
        self.notify.look()
        task = asyncio.get_running_loop().create_task(self._places.look())
        self._tasks.append(task)
        task.add_done_callback(self._tasks.remove)

    def _happened(self, event: Event, subject: SpawnRow | None) -> None:
        self.hub.publish(event, subject)
        if event.kind == "spawn.state":
            self.supervisor.growth.grew(str(event.data["spawn"]))

    def _link_changed(self, link: Link, up: bool) -> None:
        self.letters.link_changed(link, up)
        self.membership.link_changed(link, up)
        if up:
            self.belonging.rotation.linked(link.peer)
        self.discovery.link_changed(link, up)
        self.log_server.link_changed()
        self.log_client.link_changed()
        self.live.link_changed(link.peer)
        self.queueing.trials.link_changed()
        self.blobs.link_changed(link.peer, up)
        self.tools.link_changed(link.peer, up)

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
        self.persons.close()
        await self.notify.close()
        self.queueing.close()
        self.letters.waiting.close()
        await self.live.close()
        await self.tools.close()
        await asyncio.gather(self.control.close(), self.broker.dashboard.close())
        await self.results.tails.close()
        await self.supervisor.remains.close()
        await self.blobs.close()
        await self.discovery.close()
        self.dialler.rest()
        await self.mesh.close(reason)
        await self.dialler.close()
        await self.listener.close()
        await self.supervisor.close()
        await self.membership.close()
        await self.belonging.close()
        await self.store.close()


def _make_room(home: Home) -> None:
    """Make the folder of the control socket again, but no home that somebody has removed."""
    if os.path.dirname(home.socket) != home.path:
        make_socket_folder(home)

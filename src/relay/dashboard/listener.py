"""The dashboard's server: a socket on loopback, made by us, and uvicorn behind it."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from relay.broker.control.application import everything, scoped
from relay.broker.control.embedding import Embedded
from relay.core.errors import Code, LocalFault
from relay.dashboard.armour import ALWAYS
from relay.dashboard.feed import Feed
from relay.dashboard.frame import Frame
from relay.dashboard.guard import Guard
from relay.dashboard.hosts import Hosts
from relay.dashboard.pages import Pages
from relay.dashboard.protocols import SETTINGS
from relay.dashboard.session import Sessions
from relay.dashboard.site import Site
from relay.dashboard.sockets import MAX_MESSAGE, Sockets
from relay.dashboard.terminal import Terminal

if TYPE_CHECKING:
    from relay.broker.broker import Broker

HOST = "127.0.0.1"
BACKLOG = 128
MOST_CONNECTIONS = 256


def bind(ports: Sequence[int]) -> socket.socket:
    """A socket that listens on the first of these ports of loopback that is free; 0 is any.

    Raises:
        LocalFault: `port_taken`: none is.
    """
    fault: OSError | None = None
    for port in ports:
        # with its protocol named, or asyncio does not see that it is TCP and each answer waits for 40 ms
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((HOST, port))
            listening.listen(BACKLOG)
            return listening
        except OSError as error:
            listening.close()
            fault = error
    raise LocalFault(
        "the dashboard cannot listen on this machine",
        code=Code.PORT_TAKEN,
        why=str(fault),
        hint="relay config set dashboard.port 0",
    )


class Listener:
    """The server, listening."""

    def __init__(self, broker: Broker, listening: socket.socket) -> None:
        self.port: int = listening.getsockname()[1]
        routes = everything(broker)
        guard = Guard(routes, scoped(routes, broker), broker.dashboard.devices, broker.journal, broker.auditor)
        hosts = Hosts(self.port, lambda: broker.dashboard.published)
        devices = broker.dashboard.devices
        sockets, feed, terminal = Sockets(devices), Feed(broker), Terminal(broker)
        frame = Frame(broker.dashboard.home)
        site = Site(hosts, Pages(), Sessions(devices), guard, sockets, feed, terminal, frame)
        self._served = Embedded(
            site,
            listening,
            headers=list(ALWAYS),
            limit_concurrency=MOST_CONNECTIONS,
            ws_max_size=MAX_MESSAGE,
            **SETTINGS,
        )

    async def start(self) -> None:
        """Serve from now on."""
        await self._served.start()

    async def close(self) -> None:
        """Close what is open, within half a second."""
        await self._served.close()


async def open_listener(broker: Broker, ports: Sequence[int]) -> Listener:
    """Serve the dashboard of a broker on the first of these ports that is free.

    Raises:
        LocalFault: `port_taken`.
    """
    made = Listener(broker, bind(ports))
    await made.start()
    return made

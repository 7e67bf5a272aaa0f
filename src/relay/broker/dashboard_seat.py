"""Where the dashboard's server sits in a broker: opened when it is first asked for, and not in memory before."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

from relay.api import terminal_package
from relay.broker.devices import Devices
from relay.core.errors import Misuse, RelayError
from relay.store import meta
from relay.store.journal import Entry

if TYPE_CHECKING:
    from relay.broker.broker import Broker
    from relay.broker.rooms import Rooms

HOST = "127.0.0.1"
PORT, ORIGIN = "dashboard.port", "dashboard.origin"
_ORIGIN = re.compile(r"https://(?=.{1,253}\Z)([a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*)\Z")
_log = logging.getLogger(__name__)


class Face(Protocol):
    """A dashboard's server that listens."""

    @property
    def port(self) -> int:
        """Where, on loopback."""

    async def close(self) -> None:
        """Say goodbye to who is connected, and listen no more."""


Open = Callable[["Broker", tuple[int, ...]], Awaitable[Face]]
"""Opens a server for a broker, on the first of these ports that is free."""


class DashboardSeat:
    """Opens the dashboard's server, and knows what it is called in public.

    Args:
        rooms: of the broker.

    Attributes:
        devices: who may open it.
        published: the origin, `https://HOST`, by which others than this machine reach it; None for none.
        wanted: the port of config.toml.
        home: where what was fetched for the page is.
    """

    def __init__(self, rooms: Rooms) -> None:
        self._journal = rooms.journal
        self._open_face = rooms.open_face
        self.home = rooms.home
        self.devices = Devices(rooms.journal, rooms.auditor)
        self.devices.on_revoked = rooms.notify.browsers.gone
        self.wanted = rooms.config.dashboard["port"]
        self._face: Face | None = None
        self._opening = asyncio.Lock()
        self.published: str | None = None

    async def load(self) -> None:
        """Read what an earlier run knew."""
        await self.devices.open()
        self.published = await self._journal.store.one(meta.VALUE, key=ORIGIN) or None

    @property
    def is_in_use(self) -> bool:
        """Whether somebody may come who has been here before."""
        return self.published is not None or len(self.devices) > 0

    @property
    def port(self) -> int | None:
        """Where it listens; None while it does not."""
        return None if self._face is None else self._face.port

    async def open(self, broker: Broker) -> int:
        """Listen, where it does not yet; the port.

        Raises:
            LocalFault: it cannot.
        """
        async with self._opening:
            if self._face is None:
                before = int(await self._journal.store.one(meta.VALUE, key=PORT) or 0)
                # the one that was found free last time comes before any other: browsers keep their tokens by the port
                tried = (*(port for port in (self.wanted, before) if port), 0)
                self._face = await self._open_face(broker, tried)
                if self._face.port not in (before, self.wanted):
                    await self._remember(PORT, str(self._face.port))
            return self._face.port

    async def open_again(self, broker: Broker) -> None:
        """Listen where an earlier run did; a fault is written down, for nobody waits for this."""
        try:
            await self.open(broker)
        except RelayError as fault:
            _log.warning("the dashboard cannot be served: %s: %s", fault.message, fault.why)

    async def publish(self, origin: object) -> None:
        """Take the public name, or none any more.

        Args:
            origin: `https://HOST`, or None.

        Raises:
            Misuse: it is neither.
        """
        if origin is not None and not (isinstance(origin, str) and _ORIGIN.match(origin)):
            why = "it is https:// and a host's name in small letters, on port 443, without a path"
            raise Misuse("that is no public address of a dashboard", why=why, hint="relay dashboard publish")
        await self._remember(ORIGIN, origin or "")
        self.published = origin

    async def _remember(self, key: str, value: str) -> None:
        def decide(entry: Entry) -> None:
            meta.put(entry.tx, key, value)

        await self._journal.commit(decide)

    def shown(self) -> dict[str, Any]:
        """Where it is."""
        address = None if self.port is None else f"http://{HOST}:{self.port}"
        has_terminal = terminal_package.kept(self.home) is not None
        place = {"address": address, "port": self.port, "wanted_port": self.wanted, "published": self.published}
        return place | {"terminal": has_terminal}

    async def close(self) -> None:
        """Listen no more."""
        async with self._opening:
            if self._face is not None:
                await self._face.close()

"""The direct way of one who is attached: past both brokers to the task's shim, for what is typed and what is shown.

    the viewer's broker        this one                          the shim
    could go past ──────────►  may it type?  ── DIRECT ────────► listens for a moment, at the link's own address
    host, port, pin, secret ◄─ direct ◄───────── PORT ───────────
    the viewer comes ══════════════════ TLS ═══════════════════► a caller of the door, as long as this broker's is
    aside ──────────────────►  the link shows nothing more
    show, from ─────────────►  it does again
    direct ─────────────────►  the way is broken: may there be another?

What is checked, and who drives, is decided here as ever. The way ends with the door it belongs to, and at once where
what may be typed by it changes; another is offered then.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from enum import Enum
from typing import Any

from relay.broker.carrier import Ends
from relay.broker.channel import Conversation, Message
from relay.core.addresses import host_of, is_any
from relay.core.errors import PeerFault
from relay.core.log_places import attempt_of, start_of
from relay.spawn.door import Door
from relay.store.spawn_rows import SpawnRow
from relay.trust.direct_key import direct_key

LOOK_S = 1.0
"""How often it is looked whether what was granted still is; no two offers come sooner after each other."""


def listens_at(ends: Ends | None, listening: Iterable[str]) -> str | None:
    """Where a shim may listen for who is at the other end of a link; None where it may not.

    An address on which the broker itself listens, and no other.

    Args:
        ends: of the link, as the task's machine sees them.
        listening: where the broker does, `host:port` each.
    """
    if ends is None or not ends.dialled:
        return None if ends is None else ends.near
    hosts = [host for host in map(host_of, listening) if (":" in host) == (":" in ends.near)]
    return ends.near if ends.near in hosts or any(map(is_any, hosts)) else None


def reached_at(ends: Ends | None, offered: str) -> str | None:
    """Where the viewer's machine reaches what listens at `offered`; None where it may not be the same place.

    Args:
        ends: of the link, as the viewer's machine sees them.
        offered: the address as the task's machine calls it.
    """
    if ends is None:
        return None
    return ends.far if ends.dialled or ends.far == offered else None


class _Shows(Enum):
    LINK = "link"
    DIRECT = "direct"
    LINK_AGAIN = "link again"  # it was told from where, and has not begun


class DirectWay:
    """Offers it, and keeps the link's way of showing aside for it.

    Args:
        channel: to the viewer.
        address: where the shim may listen; None where the viewer asked for no direct way, or none can be.
        source: of what the viewer types.
        may_type: whether it may now.
    """

    def __init__(
        self, channel: Conversation, address: str | None, source: bytes, may_type: Callable[[], bool]
    ) -> None:
        self._channel = channel
        self._address = address
        self._source = source
        self._may_type = may_type
        self._task: Door | None = None
        self._row: SpawnRow
        self._types = False
        self._changed = asyncio.Event()
        self._shows = _Shows.LINK
        self._asked = asyncio.Event()
        self._place = 0

    @contextlib.asynccontextmanager
    async def along(self, task: Door, row: SpawnRow) -> AsyncIterator[None]:
        """Offer it while the block runs, in which the link shows what an attempt does."""
        if self._address is None or not row.wishes.tty:
            yield
            return
        self._task, self._row, self._shows = task, row, _Shows.LINK
        offering = asyncio.get_running_loop().create_task(self._offer(task, self._address))
        try:
            yield
        finally:
            self._task = None
            task.direct_over()
            offering.cancel()
            await asyncio.gather(offering, return_exceptions=True)

    async def _offer(self, task: Door, address: str) -> None:
        while not task.over.is_set():
            self._changed.clear()
            self._types = self._may_type()
            key = direct_key()
            port = await task.direct(address, key.secret, key.pem, self._source if self._types else None)
            if port is None:
                return  # a shim of another version, or a machine that cannot
            there = {"host": address, "port": port, "pin": key.pin.hex(), "secret": key.secret.hex()}
            start = start_of(self._row.attempt)
            await self._channel.send({"k": "direct", "start": start, "types": self._types} | there)
            await self._until_changed(task)
            await self._channel.send({"k": "direct_over"})
            await asyncio.sleep(LOOK_S)

    async def _until_changed(self, task: Door) -> None:
        while not self._changed.is_set() and self._may_type() == self._types and not task.over.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._changed.wait()
        task.direct_over()

    def changed(self) -> None:
        """What may be typed is not what it was: nothing more goes by the way that is open."""
        if self._task is not None:
            self._task.direct_over()
            self._changed.set()

    # who shows

    def heeds(self, message: Message) -> bool:
        """Whether a message of the viewer's is about this, and dealt with."""
        kind = message.get("k")
        if kind == "aside" and self._task is not None:
            self._shows = _Shows.DIRECT
            self._task.rest()
        elif kind == "show" and self._shows is _Shows.DIRECT:
            self._place = self._place_in(message.get("next"))
            self._shows = _Shows.LINK_AGAIN
            self._asked.set()
        elif kind == "direct":
            self.changed()
        return kind in ("aside", "show", "direct")

    def _place_in(self, place: Any) -> int:
        if type(place) is not int or not 0 <= place < 2**53 or attempt_of(place) != self._row.attempt:
            raise PeerFault("a message was refused", why="it has another form")
        return int(place)

    async def back(self) -> int | None:
        """Wait until the link is to show again; the place from which on, None where it was not aside."""
        if self._shows is _Shows.LINK:
            return None
        await self._asked.wait()
        self._asked.clear()
        self._shows = _Shows.LINK
        await self._channel.send({"k": "show", "next": self._place})
        return self._place

"""Members on the local network, by multicast DNS (RFC 6762, RFC 6763): announced and looked for without a name.

An instance is called by its `local_tag`, so that only who holds the workspace key knows what it belongs to. What is
found are hints: a dial pins the id. The library is loaded when it is needed: 4 MB that a broker without it saves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import psutil

from relay.broker.places import host_of, is_only_local
from relay.core import ids
from relay.core.hello import is_address
from relay.core.ids import BrokerId

if TYPE_CHECKING:
    from zeroconf import ServiceStateChange, Zeroconf
    from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

SERVICE = "_relay._tcp.local."
LOOKUP_MS = 3_000
HINT_LIFE_MS = 75 * 60_000  # RFC 6762, section 10: the life of records that name no host
MAX_LOOKUPS = 64
MAX_FOUND = 8
_log = logging.getLogger(__name__)


class LocalNetwork:
    """Announces this broker and finds members.

    Args:
        tag: what a member goes by here.
        members: who is looked for.
        told: where this broker may be dialled, `host:port`.
        found: told where a member is, or with nothing that it has left.
        interfaces: addresses of the interfaces to use; none for all of them.
        own: this broker.
    """

    def __init__(
        self,
        own: BrokerId,
        tag: Callable[[BrokerId], str],
        members: Callable[[], Iterable[BrokerId]],
        told: Callable[[], Iterable[str]],
        found: Callable[[BrokerId, tuple[str, ...]], None],
        interfaces: tuple[str, ...] = (),
    ) -> None:
        self._own = own
        self._tag = tag
        self._members = members
        self._told = told
        self._found = found
        self._interfaces = interfaces
        self._by_name: dict[str, BrokerId] = {}
        self._zeroconf: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None
        self._announced: AsyncServiceInfo | None = None
        self._lookups: dict[BrokerId, asyncio.Task[None]] = {}
        self._one_at_a_time = asyncio.Lock()

    @property
    def _on_loopback(self) -> bool:
        return bool(self._interfaces) and all(is_only_local(f"{each}:1") for each in self._interfaces)

    def members_changed(self) -> None:
        """The roster changed: know the new ones by their tags."""
        self._by_name = {f"{self._tag(each)}.{SERVICE}": each for each in self._members() if each != self._own}

    async def refresh(self) -> None:
        """Begin, or go on over the interfaces and with the addresses that there are now; never raises."""
        async with self._one_at_a_time:
            try:
                await self._refresh()
            except Exception as error:
                # a network without multicast is no fault of anybody's; the next change of network tries again
                _log.info("mDNS is not to be had: %s", str(error) or type(error).__name__)

    async def _refresh(self) -> None:
        if self._zeroconf is None:
            await self._begin()
        elif not self._interfaces:
            await self._zeroconf.async_update_interfaces()
        await self._announce()

    async def _begin(self) -> None:
        # here and not above: a broker without mDNS must not pay for it
        from zeroconf import InterfaceChoice
        from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf

        logging.getLogger("zeroconf").setLevel(logging.ERROR)
        self.members_changed()
        made = AsyncZeroconf(interfaces=self._present_interfaces() if self._interfaces else InterfaceChoice.All)
        try:
            await made.zeroconf.async_wait_for_start()
            self._browser = AsyncServiceBrowser(made.zeroconf, SERVICE, handlers=[self._seen])
        except BaseException:
            await made.async_close()
            raise
        self._zeroconf = made

    def _present_interfaces(self) -> list[str]:
        # the library leaves a socket behind where it meets one that is not there
        there = {each.address for group in psutil.net_if_addrs().values() for each in group}
        present = [each for each in self._interfaces if each in there]
        if not present:
            raise LookupError(f"no interface has an address of {', '.join(self._interfaces)}")
        return present

    # telling

    def _instance(self) -> AsyncServiceInfo | None:
        from zeroconf.asyncio import AsyncServiceInfo

        usable = [each for each in self._told() if self._on_loopback or not is_only_local(each)]
        if not usable:
            return None
        port = int(usable[0].rpartition(":")[2])
        hosts = [host_of(each) for each in usable if each.endswith(f":{port}") and _is_ip(host_of(each))]
        tag = self._tag(self._own)
        return AsyncServiceInfo(
            SERVICE, f"{tag}.{SERVICE}", port, properties={}, server=f"{tag}.local.", parsed_addresses=hosts[:MAX_FOUND]
        )

    async def _announce(self) -> None:
        assert self._zeroconf is not None
        before, now = self._announced, self._instance()
        if now is not None and not now.parsed_addresses():
            now = None
        if before is not None and now is not None and _same(before, now):
            return
        if before is not None:
            self._announced = None
            await (await self._zeroconf.async_unregister_service(before))
        if now is not None:
            await (await self._zeroconf.async_register_service(now, cooperating_responders=True))
            self._announced = now

    # finding

    def _seen(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        peer = self._by_name.get(name.lower())
        if peer is None:
            return
        if state_change.name == "Removed":
            self._found(peer, ())
        elif peer not in self._lookups and len(self._lookups) < MAX_LOOKUPS:
            task = asyncio.get_running_loop().create_task(self._look_up(zeroconf, peer, name))
            self._lookups[peer] = task
            task.add_done_callback(lambda done: self._lookups.pop(peer, None))

    async def _look_up(self, zeroconf: Zeroconf, peer: BrokerId, name: str) -> None:
        from zeroconf.asyncio import AsyncServiceInfo

        info = AsyncServiceInfo(SERVICE, name)
        try:
            answered = await info.async_request(zeroconf, LOOKUP_MS)
        except Exception as error:
            _log.debug("%s could not be looked up on the local network: %s", ids.short(peer), error)
            return
        if answered and info.port:
            self._found(peer, self._usable(info))

    def _usable(self, info: AsyncServiceInfo) -> tuple[str, ...]:
        texts = [f"[{host}]:{info.port}" if ":" in host else f"{host}:{info.port}" for host in info.parsed_addresses()]
        usable = (each for each in texts if is_address(each) and (self._on_loopback or not is_only_local(each)))
        return tuple(usable)[:MAX_FOUND]

    async def close(self) -> None:
        """Say goodbye and end; safe to call twice."""
        for task in list(self._lookups.values()):
            task.cancel()
        async with self._one_at_a_time:
            browser, self._browser = self._browser, None
            zeroconf, self._zeroconf = self._zeroconf, None
            self._announced = None
            if browser is not None:
                await browser.async_cancel()
            if zeroconf is not None:
                await zeroconf.async_close()


def _is_ip(host: str) -> bool:
    return host.replace(".", "").isdigit() or ":" in host


def _same(one: AsyncServiceInfo, other: AsyncServiceInfo) -> bool:
    return one.port == other.port and one.parsed_addresses() == other.parsed_addresses()

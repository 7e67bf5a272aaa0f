"""The tailnet in use: who of the members is there, and what this broker says of its own place in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from relay.broker import tailscale
from relay.broker.addresses import DEFAULT_PORT
from relay.broker.places import Places, Source
from relay.broker.tailscale import Tailnet
from relay.core.addresses import host_of, is_any, with_port
from relay.core.hello import is_address
from relay.core.ids import BrokerId
from relay.core.statements import Member

AGAIN_S = 10.0
LIFE_MS = 15 * 60_000
MAX_PORTS = 2


class TailnetPlaces:
    """Asks `tailscale` now and then, and takes what it says as hints.

    Args:
        places: where hints are kept.
        members: all but this broker.
        ports: the ports a member is known to listen on.
        learnt: told of a member with an address anew.
        clock: milliseconds since 1970.
    """

    def __init__(
        self,
        places: Places,
        members: Callable[[], Iterable[Member]],
        ports: Callable[[BrokerId], Iterable[str]],
        learnt: Callable[[BrokerId], None],
        clock: Callable[[], int],
    ) -> None:
        self._places = places
        self._members = members
        self._ports = ports
        self._learnt = learnt
        self._clock = clock
        self._asked: float | None = None
        self._tailnet = Tailnet()

    async def ask(self) -> None:
        """Ask anew, unless that was done within 10 s."""
        now = asyncio.get_running_loop().time()
        if self._asked is not None and now - self._asked < AGAIN_S:
            return
        self._asked = now
        found = await tailscale.ask()
        if found is not None:
            self._tailnet = found
            self.learn()

    def learn(self) -> None:
        """Take hints for those who are members now."""
        now = self._clock()
        for member in self._members() if self._tailnet.peers else ():
            hosts = self._tailnet.peers.get(member.name.lower(), ())
            if hosts and self._places.learn(
                member.id, Source.TAILSCALE, self._addresses(member.id, hosts), now, now + LIFE_MS
            ):
                self._learnt(member.id)

    def _addresses(self, peer: BrokerId, hosts: Iterable[str]) -> list[str]:
        ports = list(dict.fromkeys(self._ports(peer)))[:MAX_PORTS] or [str(DEFAULT_PORT)]
        return [with_port(host, port) for host in hosts for port in ports]

    def told(self, listening: Iterable[str]) -> list[str]:
        """This broker's own addresses in the tailnet, where it listens there.

        Args:
            listening: where it does, `host:port`.
        """
        own = self._tailnet.hosts
        numeric = [host for host in own if ":" in host or host[0].isdigit()]
        found: list[str] = []
        for host, port in ((host_of(each), each.rpartition(":")[2]) for each in listening):
            if is_any(host):
                found += (with_port(each, port) for each in numeric if (":" in each) == (":" in host))
            if is_any(host) or host in own:
                found += (with_port(each, port) for each in own if each not in numeric)
        return list(filter(is_address, dict.fromkeys(found)))

"""The tailnet in use: who of the members is there, and what this broker says of its own place in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from relay.broker import tailscale
from relay.broker.addresses import DEFAULT_PORT
from relay.broker.places import Places, Source
from relay.broker.tailscale import Tailnet
from relay.core.hello import is_address
from relay.core.ids import BrokerId
from relay.core.statements import Member

AGAIN_S = 10.0
LIFE_MS = 15 * 60_000
MAX_PORTS = 2
_ANY = frozenset({"0.0.0.0", "[::]"})  # noqa: S104 - to know a wildcard


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
        return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host in hosts for port in ports]

    def told(self, listening: Iterable[str]) -> list[str]:
        """This broker's own addresses in the tailnet, where it listens there.

        Args:
            listening: where it does, `host:port`.
        """
        places = [each.rpartition(":") for each in listening]
        ports = [port for host, _, port in places if host in _ANY or host.strip("[]") in self._tailnet.hosts]
        wild = {port for host, _, port in places if host in _ANY}
        hosts = [host for host in self._tailnet.hosts if ":" not in host]
        found = [f"{host}:{port}" for port in ports for host in hosts if port in wild or not host[0].isdigit()]
        return list(filter(is_address, dict.fromkeys(found)))

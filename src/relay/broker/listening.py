"""Where a broker listens, and going on listening where an address comes later than the broker.

After a reboot the Tailscale address is often there some seconds after the services are; a laptop gets it when it is
back on a network.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from relay.broker.addresses import default_listen
from relay.core.errors import LocalFault

Address = tuple[str, int]
_log = logging.getLogger(__name__)


class Listening:
    """Opens what is to be listened on.

    Args:
        listen: opens one address and gives it back as it is, `host:port`.
        wanted: `listen` of config.toml; empty for loopback and the Tailscale address.
        opened: takes the addresses as they are.
    """

    def __init__(
        self, listen: Callable[[str, int], Awaitable[str]], wanted: tuple[Address, ...], opened: list[str]
    ) -> None:
        self._listen = listen
        self._wanted = wanted
        self._opened = opened
        self._known: set[Address] = set()
        self._refused: set[Address] = set()

    async def open(self) -> None:
        """Listen on all that is there.

        Raises:
            LocalFault: one of them cannot be listened on.
        """
        for address in self._wanted or default_listen():
            await self._add(address)

    async def look(self) -> None:
        """The network has changed: listen on what has come. Addresses that a person wrote down are not guessed at."""
        for address in set() if self._wanted else set(default_listen()) - self._known:
            await self._try(address)

    async def _try(self, address: Address) -> None:
        try:
            await self._add(address)
        except LocalFault as fault:
            if address not in self._refused:
                _log.warning("%s: %s; it is tried again", fault.message, fault.why)
            self._refused.add(address)
        else:
            _log.info("listens on %s as well, an address that was not there before", self._opened[-1])

    async def _add(self, address: Address) -> None:
        self._opened.append(await self._listen(*address))
        self._known.add(address)

"""Where this broker listens, and what it tells others of it."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

import psutil

from relay.core.hello import MAX_ADDRESSES, is_address

DEFAULT_PORT = 7411
LOOPBACK = "127.0.0.1"
_TAILSCALE = ipaddress.ip_network("100.64.0.0/10")  # the range Tailscale gives its machines addresses from
_ANY = frozenset({"0.0.0.0", "::"})  # noqa: S104 - to know a wildcard


def _own_addresses() -> list[str]:
    entries = [each for group in psutil.net_if_addrs().values() for each in group]
    found = [each.address for each in entries if each.family == socket.AF_INET]
    return [address for address in found if not ipaddress.ip_address(address).is_loopback]


def default_listen() -> tuple[tuple[str, int], ...]:
    """Loopback and, where there is one, the Tailscale address."""
    tailscale = [address for address in _own_addresses() if ipaddress.ip_address(address) in _TAILSCALE]
    return tuple((host, DEFAULT_PORT) for host in (LOOPBACK, *tailscale[:1]))


def told(listening: Iterable[str]) -> tuple[str, ...]:
    """The addresses others may dial, from those that are listened on: a wildcard stands for all of this machine's."""
    expanded: list[str] = []
    for address in listening:
        host, _, port = address.rpartition(":")
        hosts = _own_addresses() if host.strip("[]") in _ANY else [host]
        expanded += [f"{each}:{port}" for each in hosts]
    return tuple(dict.fromkeys(filter(is_address, expanded)))[:MAX_ADDRESSES]

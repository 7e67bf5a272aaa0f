"""Where this broker listens, and what it tells others of it."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

import psutil

from relay.core.addresses import host_of, is_any, with_port
from relay.core.hello import MAX_ADDRESSES, is_address

DEFAULT_PORT = 7411
LOOPBACK = "127.0.0.1"
_TAILSCALE = ipaddress.ip_network("100.64.0.0/10")  # the range Tailscale gives its machines addresses from


def _own_addresses(family: socket.AddressFamily = socket.AF_INET) -> list[str]:
    """This machine's, but for those that mean another place on each machine or wire."""
    entries = [each for group in psutil.net_if_addrs().values() for each in group]
    found = [each.address.partition("%")[0] for each in entries if each.family == family]
    return [text for text in found if not _is_of_one_wire(ipaddress.ip_address(text))]


def _is_of_one_wire(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.is_loopback or (address.version == 6 and address.is_link_local)


def default_listen() -> tuple[tuple[str, int], ...]:
    """Loopback and, where there is one, the Tailscale address."""
    tailscale = [address for address in _own_addresses() if ipaddress.ip_address(address) in _TAILSCALE]
    return tuple((host, DEFAULT_PORT) for host in (LOOPBACK, *tailscale[:1]))


def told(listening: Iterable[str]) -> tuple[str, ...]:
    """The addresses others may dial, from those that are listened on.

    A wildcard stands for all of this machine's of its family: what listens at `::` takes no IPv4.
    """
    expanded: list[str] = []
    for address in listening:
        host, port = host_of(address), address.rpartition(":")[2]
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        hosts = _own_addresses(family) if is_any(host) else [host]
        expanded += [with_port(each, port) for each in hosts]
    return tuple(dict.fromkeys(filter(is_address, expanded)))[:MAX_ADDRESSES]

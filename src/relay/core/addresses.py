"""Which addresses mean the same on another machine. What an address looks like is in `relay.core.hello`."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable


def host_of(address: str) -> str:
    """The host of `host:port`, without brackets."""
    return address.rpartition(":")[0].strip("[]")


def with_port(host: str, port: str) -> str:
    """`host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_any(host: str) -> bool:
    """Whether a host stands for all addresses of a machine."""
    return host in ("0.0.0.0", "::")  # noqa: S104 - to know a wildcard


def is_only_local(address: str) -> bool:
    """Whether the address means something else on each machine or each wire: loopback, link-local, unspecified."""
    host = host_of(address)
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        name = host.lower().rstrip(".")
        return name == "localhost" or name.endswith(".localhost")
    found = getattr(found, "ipv4_mapped", None) or found
    return found.is_loopback or found.is_link_local or found.is_unspecified or found.is_multicast


def usable_addresses(link_address: str, stated: Iterable[str]) -> tuple[str, ...]:
    """The addresses a broker stated that may be dialled later: local ones only from one on this machine.

    Args:
        link_address: the other end of the connection it stated them on, `host:port`.
        stated: what it said.
    """
    here = is_only_local(link_address)
    return tuple(address for address in stated if here or not is_only_local(address))

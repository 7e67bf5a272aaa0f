"""What `tailscale status --json` says: where this machine is on the tailnet, and who else is there. Hints, no more."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import logging
import os
import re
import shutil
import signal
from dataclasses import field
from typing import Any

from relay.core.values import frozen

COMMAND = "tailscale"
TIMEOUT_S = 5.0
MAX_OUTPUT = 8 * 1024 * 1024
MAX_PEERS = 10_000
MAX_ADDRESSES = 8
_NETWORKS = (ipaddress.ip_network("100.64.0.0/10"), ipaddress.ip_network("fd7a:115c:a1e0::/48"))
_DNS_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+\Z")
_log = logging.getLogger(__name__)


@frozen
class Tailnet:
    """A tailnet as this machine sees it.

    Attributes:
        hosts: this machine's addresses in it, and its DNS name.
        peers: the hosts of other machines by their names, lower case.
    """

    hosts: tuple[str, ...] = ()
    peers: dict[str, tuple[str, ...]] = field(default_factory=dict)


def _is_inside(text: object) -> bool:
    if type(text) is not str or len(text) > 64:
        return False
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return False
    return any(found.version == network.version and found in network for network in _NETWORKS)


def _hosts(machine: dict[str, Any]) -> tuple[str, ...]:
    addresses = machine.get("TailscaleIPs")
    inside = [each for each in addresses if _is_inside(each)] if isinstance(addresses, list) else []
    name = machine.get("DNSName")
    plain = name.rstrip(".").lower() if isinstance(name, str) else ""
    named = [plain] if inside and _DNS_NAME.match(plain) else []
    return (*inside[:MAX_ADDRESSES], *named)


def _peers(document: object) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    machines = list(document.values())[:MAX_PEERS] if isinstance(document, dict) else []
    for machine in machines:
        name = machine.get("HostName") if isinstance(machine, dict) else None
        if isinstance(name, str) and name and (hosts := _hosts(machine)):
            key = name.lower()[:255]
            found[key] = (*found.get(key, ()), *hosts)[:MAX_ADDRESSES]
    return found


def read_status(data: bytes) -> Tailnet:
    """The tailnet in what the command printed.

    Args:
        data: JSON; fields of another form than expected are passed over.

    Raises:
        ValueError: it is no JSON object.
    """
    try:
        document = json.loads(data)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(document, dict):
        raise ValueError("it is no JSON object")
    if document.get("BackendState") != "Running":
        return Tailnet()
    own = document.get("Self")
    return Tailnet(_hosts(own) if isinstance(own, dict) else (), _peers(document.get("Peer")))


async def ask() -> Tailnet | None:
    """What the command says now; None where there is none, it fails, hangs, or prints what cannot be read."""
    path = shutil.which(COMMAND)
    if path is None:
        return None
    try:
        data = await _output(path)
        return None if data is None else await asyncio.to_thread(read_status, data)
    except (OSError, ValueError) as error:
        _log.info("`tailscale status` cannot be read: %s", error)
        return None


class _Said(asyncio.SubprocessProtocol):
    """What a command prints, up to a bound.

    Attributes:
        data: that much.
        enough: done when it has ended and its output too, or when it has printed more than the bound.
    """

    def __init__(self) -> None:
        self.data = bytearray()
        self.enough: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if len(self.data) <= MAX_OUTPUT:
            self.data += data
        if len(self.data) > MAX_OUTPUT:
            self._is_enough()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_enough()
        if not self._ended.done():
            self._ended.set_result(None)

    def _is_enough(self) -> None:
        if not self.enough.done():
            self.enough.set_result(None)

    async def end(self, transport: asyncio.SubprocessTransport) -> None:
        """End the command with all of its group, and wait until it is gone and nothing of it is open."""
        if transport.get_returncode() is None:
            # the whole group: what a wrapper script started must not stay
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(transport.get_pid(), signal.SIGKILL)
        pipe = transport.get_pipe_transport(1)
        assert pipe is not None
        pipe.close()  # what is in it, or whoever else holds it, is not waited for
        await self._ended
        transport.close()


async def _output(path: str) -> bytes | None:
    transport, said = await asyncio.get_running_loop().subprocess_exec(
        _Said,
        path,
        "status",
        "--json",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await said.enough
        if len(said.data) > MAX_OUTPUT:
            raise ValueError(f"more than {MAX_OUTPUT} bytes")
        return bytes(said.data) if transport.get_returncode() == 0 else None
    except TimeoutError:
        raise ValueError(f"no answer in {TIMEOUT_S:g} s") from None
    finally:
        await said.end(transport)

"""Notices that this machine's network has changed: told by the kernel on Linux (rtnetlink(7)), by looking elsewhere."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import struct
import sys
from collections.abc import Callable

import psutil

SETTLE_S = 1.0
AT_MOST_EVERY_S = 5.0
LOOK_EVERY_S = 30.0
MAX_DRAINED = 64
# linux/rtnetlink.h; the numbers are part of the kernel's stable interface
_GROUPS = 0x1 | 0x10 | 0x100  # links, IPv4 addresses, IPv6 addresses
_NEW_LINK, _DEL_LINK, _NEW_ADDRESS, _DEL_ADDRESS = 16, 17, 20, 21
_IFF_RUNNING = 0x40
_HEADER = struct.Struct("=IHHII")
_log = logging.getLogger(__name__)

State = frozenset[tuple[str, str]]


def usable(host: str) -> bool:
    """Whether an address could carry a link: neither loopback nor link-local."""
    try:
        found = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return not (found.is_loopback or found.is_link_local or found.is_unspecified)


def present_state() -> State:
    """The usable addresses of this machine's interfaces that are up."""
    up = {name for name, stats in psutil.net_if_stats().items() if stats.isup}
    entries = ((name, each) for name, group in psutil.net_if_addrs().items() if name in up for each in group)
    families = (socket.AF_INET, socket.AF_INET6)
    return frozenset((name, each.address) for name, each in entries if each.family in families and usable(each.address))


def lost_interfaces(data: bytes) -> set[int]:
    """The indexes of interfaces that lost an address or their carrier, by what the kernel sent.

    Args:
        data: netlink messages, one after another; what is cut off or malformed is passed over.
    """
    lost: set[int] = set()
    while len(data) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(data)
        if not _HEADER.size <= length <= len(data):
            break
        body = data[_HEADER.size : length]
        # ifinfomsg and ifaddrmsg both have the interface's index in their second four bytes
        if len(body) >= 8:
            index = int.from_bytes(body[4:8], sys.byteorder)
            if kind in (_DEL_LINK, _DEL_ADDRESS) or (kind == _NEW_LINK and _is_down(body)):
                lost.add(index)
        data = data[(length + 3) & ~3 :]
    return lost


def _is_down(body: bytes) -> bool:
    return len(body) >= 12 and not int.from_bytes(body[8:12], sys.byteorder) & _IFF_RUNNING


class NetworkChange:
    """Calls back once the network has changed and settled.

    Args:
        changed: what to call.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._state: State = frozenset()
        self._lost = False
        self._last = -AT_MOST_EVERY_S
        self._socket: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Listen from now on."""
        self._socket = _open()  # first: of what changes while the state is taken it tells afterwards
        self._state = present_state()
        if self._socket is not None:
            asyncio.get_running_loop().add_reader(self._socket, self._readable)
        else:
            self._look_in(LOOK_EVERY_S)

    def _readable(self) -> None:
        assert self._socket is not None
        for _ in range(MAX_DRAINED):
            try:
                data = self._socket.recv(65_536)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                self._lost = True  # ENOBUFS: the kernel dropped some of it
                break
            self._lost = self._lost or self._concerns(lost_interfaces(data))
        if self._timer is None:
            now = asyncio.get_running_loop().time()
            self._look_in(max(SETTLE_S, self._last + AT_MOST_EVERY_S - now))

    def _concerns(self, indexes: set[int]) -> bool:
        """Whether one of these interfaces had a usable address; containers come and go without one."""
        if not indexes:
            return False
        known = {name for name, _ in self._state}
        names = dict(socket.if_nameindex())
        return any(names.get(index) in known for index in indexes)

    def _look_in(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        state = present_state()
        if self._lost or state != self._state:
            self._state, self._lost = state, False
            self._last = asyncio.get_running_loop().time()
            _log.info("the network has changed: %s", ", ".join(sorted({host for _, host in state})) or "no address")
            self._changed()
        if self._socket is None:
            self._look_in(LOOK_EVERY_S)

    def close(self) -> None:
        """Listen no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()


def _open() -> socket.socket | None:
    if sys.platform != "linux":
        return None
    try:
        found = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, 0)
    except OSError as error:
        _log.info("the kernel does not tell of the network (%s): it is looked at every %g s", error, LOOK_EVERY_S)
        return None
    try:
        found.bind((0, _GROUPS))
    except OSError:
        found.close()
        return None
    return found

"""Which user of this machine is at the other end of a connection over loopback, by the kernel's word."""

from __future__ import annotations

import itertools
import os
import socket
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Scope

TABLE = "/proc/net/tcp"
MOST_LINES = 1_000_000
_LOCAL, _REMOTE, _USER = 1, 2, 7
_MAPPED = (b"\0\0\0\0", b"\0\0\0\0", b"\0\0\xff\xff")
"""What stands before an address of IPv4 where the socket is one of IPv6, whose table is another one."""


def is_another_user(near: tuple[str, int], far: tuple[str, int]) -> bool:
    """Whether it is an account of this machine that is neither ours nor root's.

    False where no table of this system tells, and for who has hung up, who hears no answer.

    Args:
        near: our end, address and port.
        far: the other one.
    """
    found = (_user_of(table, [_written(far, *before), _written(near, *before)]) for table, before in _tables())
    user = next((each for each in found if each), "0")
    return user not in ("0", str(os.getuid()))


def _tables() -> list[tuple[str, tuple[bytes, ...]]]:
    return [(TABLE, ()), (f"{TABLE}6", _MAPPED)]


def comes_from_another_user(scope: Scope) -> bool:
    """Whether a request, or a socket, is of another user of this machine (`is_another_user`)."""
    near, far = scope["server"], scope["client"]
    return far is not None and is_another_user(near, far)


def _user_of(table: str, ends: list[str]) -> str:
    try:
        with open(table, encoding="ascii", errors="replace") as lines:
            for line in itertools.islice(lines, MOST_LINES):
                words = line.split(maxsplit=_USER + 1)
                if len(words) > _USER and words[_LOCAL : _REMOTE + 1] == ends:
                    return words[_USER]
    except OSError:
        pass
    return ""


def _written(end: tuple[str, int], *before: bytes) -> str:
    address, port = end
    words = (*before, socket.inet_aton(address))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words) + f":{port:04X}"

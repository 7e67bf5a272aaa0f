"""Which user of this machine is at the other end of a connection over loopback, by the kernel's word."""

from __future__ import annotations

import os
import socket

TABLE = "/proc/net/tcp"
MOST_LINES = 1_000_000
_LOCAL, _REMOTE, _USER = 1, 2, 7


def is_another_user(near: tuple[str, int], far: tuple[str, int]) -> bool:
    """Whether it is an account of this machine that is neither ours nor root's.

    False where no table of this system tells, and for who has hung up, who hears no answer.

    Args:
        near: our end, address and port.
        far: the other one.
    """
    ends = [_written(far), _written(near)]
    try:
        with open(TABLE, encoding="ascii", errors="replace") as lines:
            for _, line in zip(range(MOST_LINES), lines, strict=False):
                words = line.split(maxsplit=_USER + 1)
                if len(words) > _USER and words[_LOCAL : _REMOTE + 1] == ends:
                    return words[_USER] not in ("0", str(os.getuid()))
    except OSError:
        return False
    return False


def _written(end: tuple[str, int]) -> str:
    address, port = end
    return f"{int.from_bytes(socket.inet_aton(address), 'little'):08X}:{port:04X}"

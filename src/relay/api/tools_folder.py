"""The folder that the broker and its host of MCP servers share: what is to be served, how that stands, and who serves.

    shares.json    the broker's word: what is shared by a command; 0600, for its environment may hold secrets
    standing.json  the host's word: how each share stands
    host.lock      held by the host for as long as it runs; its pid, and when that process began
    NAME.log       what a server says beside the protocol

Files and not the control API, because the environment of a server goes to nobody else, and because a host that outlives
a killed broker has nobody to ask.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from typing import Any

from relay.api.home import Home

SHARES, STANDING, LOCK, LOG = "shares.json", "standing.json", "host.lock", "host.log"
MAX_BYTES = 8 << 20


def make(home: Home) -> None:
    """Make the folder, for its owner alone."""
    os.makedirs(home.tools, mode=0o700, exist_ok=True)


def write(home: Home, name: str, document: Any) -> None:
    """Write one of its files, at once or not at all.

    Raises:
        OSError: the disk takes no file.
    """
    path = os.path.join(home.tools, name)
    part = f"{path}.{os.getpid()}"
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as file:
            json.dump(document, file)
        os.replace(part, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise


def read(home: Home, name: str) -> Any:
    """What one of its files says; None where it says nothing that can be read."""
    try:
        with open(os.path.join(home.tools, name), "rb") as file:
            return json.loads(file.read(MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return None


def held(home: Home) -> tuple[int, int] | None:
    """The pid of the host that runs, and when that process began (clock ticks); None where none does."""
    try:
        with open(os.path.join(home.tools, LOCK), encoding="ascii") as file:
            if _taken(file.fileno()):
                return None
            pid, ticks = file.read(64).split()
            return int(pid), int(ticks)
    except (OSError, ValueError):
        return None


def _taken(descriptor: int) -> bool:
    """Whether the lock could be had: then nobody holds it. It is given back with the file."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def take(home: Home, ticks: int) -> int | None:
    """Take the host's lock for this process; its descriptor, or None where another host has it.

    Args:
        ticks: when this process began.
    """
    make(home)
    descriptor = os.open(os.path.join(home.tools, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()} {ticks}\n".encode())
    return descriptor

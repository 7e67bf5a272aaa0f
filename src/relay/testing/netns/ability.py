"""Whether this machine lets a test make networks, and the reason where it does not."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

from relay.testing.netns import cuts, namespaces
from relay.testing.netns.namespaces import Namespaces, NetworkFailed

PACKAGES = {"ip": "iproute2", "tc": "iproute2", "nft": "nftables"}
_CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}


@functools.cache
def why_not() -> str:
    """The reason why no network can be made here, with what to do about it; empty where it can be made."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are Linux's"
    if missing := sorted({package for name, package in PACKAGES.items() if not namespaces.program(name)}):
        return f"apt-get install {' '.join(missing)}"
    if os.geteuid() or (lacking := _lacking()):
        return f"network namespaces need root{', and here ' + ', '.join(lacking) if not os.geteuid() else ''}"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "there is no /dev/net/tun here"
    return _tried()


def _lacking() -> list[str]:
    status = Path("/proc/self/status").read_text()
    effective = int(status.partition("CapEff:")[2].split()[0], 16)
    return [name for name, bit in _CAPABILITIES.items() if not effective >> bit & 1]


def _tried() -> str:
    spaces = Namespaces()
    try:
        cuts.is_possible(spaces.make("trial"))
    except NetworkFailed as failed:
        return f"this machine makes no network namespaces with nftables: {failed}"
    finally:
        spaces.close()
    return ""

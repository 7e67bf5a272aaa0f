"""What `init` and `join` have in common: the broker's name, its first settings, and what they answer."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from relay.api import settings
from relay.core.ids import MAX_NAME, is_name, require_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.api.home import Home
    from relay.api.pairing_shapes import Founded
    from relay.trust.workspace import Workspace

WITHOUT_NAME = "broker"

path_of = Path


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def chosen(name: str | None) -> str:
    """The name that was asked for, else one made of this machine's.

    Raises:
        Misuse: it is no name.
    """
    return of_machine() if name is None else require_name(name, "a broker's name")


def of_machine() -> str:
    """This machine's name as a broker may be called."""
    first = socket.gethostname().split(".")[0].lower()
    plain = re.sub(r"[^a-z0-9._-]+", "-", first).strip("-._")[:MAX_NAME]
    return plain if is_name(plain) else WITHOUT_NAME


def write_settings(home: Home, name: str | None, listen: Sequence[str]) -> None:
    """Make config.toml with what was asked for."""
    settings.write_template(home, name, listen)


def founded(home: Home, broker: str, name: str, workspace: Workspace) -> Founded:
    """What `init --json` and `join --json` print."""
    return {
        "broker": {"id": broker, "name": name},
        "workspace": {"id": workspace.id, "name": workspace.name, "epoch": workspace.epoch},
        "home": home.path,
    }

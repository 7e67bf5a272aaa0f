"""Stops a home's broker by the control API, and waits until it is gone."""

from __future__ import annotations

import os
import time

from relay.api import routes
from relay.api.client import Client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.home import Home

END_S, LOOK_S = 20.0, 0.02


def is_running(home: Home) -> bool:
    """Whether a broker of this home answers."""
    from relay.core.errors import RelayError

    try:
        with Client(home) as client:
            client.ask(routes.status())
    except RelayError:
        return False
    return True


def stop_broker(home: Home) -> int:
    """Stop the broker; its tasks go on. Returns the pid it had.

    Raises:
        RelayError: none answers, or it does not end.
    """
    client = Client(home)
    pid = client.ask(routes.status())["pid"]
    client.ask(routes.down())
    client.close()
    until = time.monotonic() + END_S
    while _is_there(pid):
        if time.monotonic() > until:
            from relay.core.errors import Code, Unreachable

            why = f"pid {pid} is still there"
            hint = f"kill {pid}; then {home.command('doctor')}"
            raise Unreachable("the broker does not stop", code=Code.TIMED_OUT, why=why, hint=hint)
        time.sleep(LOOK_S)
    return pid


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """A broker whose parent does not look, as in a container without an init, has ended all the same."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] == b"Z"
    except (OSError, IndexError):
        return False

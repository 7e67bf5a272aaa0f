"""`relay down`."""

from __future__ import annotations

import os
import time

from relay.api import routes
from relay.cli import speech

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.cli.invocation import Invocation

END_S, LOOK_S = 20.0, 0.02


def run(invocation: Invocation) -> int:
    """Stop the broker and wait until it is gone."""
    client = invocation.client()
    pid = client.ask(routes.status())["pid"]
    client.ask(routes.down())
    client.close()
    until = time.monotonic() + END_S
    while _is_there(pid):
        if time.monotonic() > until:
            from relay.core.errors import Code, Unreachable

            why = f"pid {pid} is still there"
            hint = f"kill {pid}; then {invocation.home.command('doctor')}"
            raise Unreachable("the broker does not stop", code=Code.TIMED_OUT, why=why, hint=hint)
        time.sleep(LOOK_S)
    if invocation.json:
        speech.document({"running": False, "pid": pid})
    else:
        speech.say("stopped; what it was running goes on")
    return 0


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

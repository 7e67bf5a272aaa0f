"""`relay down`."""

from __future__ import annotations

from relay.api.service import installed
from relay.cli import progress, speech
from relay.cli.stopping import stop_broker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.cli.invocation import Invocation


def run(invocation: Invocation) -> int:
    """Stop the broker and wait until it is gone."""
    with progress.Shown("waiting for the broker to end", quiet=invocation.json):
        pid = stop_broker(invocation.home)
    if invocation.json:
        speech.document({"running": False, "pid": pid})
    else:
        speech.say("stopped; what it was running goes on")
        if installed.find(invocation.home):
            again = invocation.home.command("service install")
            speech.note(f"its service starts it again at the next boot or login; to have it now: {again}")
    return 0

"""`relay down`."""

from __future__ import annotations

from relay.api import tool_routes
from relay.api.service import installed
from relay.cli import progress, speech
from relay.cli.clean import clean
from relay.cli.stopping import stop_broker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.cli.invocation import Invocation


def run(invocation: Invocation) -> int:
    """Stop the broker and wait until it is gone."""
    servers = _servers(invocation)
    with progress.Shown("waiting for the broker to end", quiet=invocation.json):
        pid = stop_broker(invocation.home)
    if invocation.json:
        speech.document({"running": False, "pid": pid})
    else:
        speech.say("stopped; its tasks go on")
        if servers:
            speech.note(f"its shared servers have ended, with the calls that ran in them: {', '.join(servers)}")
        if installed.find(invocation.home):
            again = invocation.home.command("service install")
            speech.note(f"its service starts it again at the next boot or login; to have it now: {again}")
    return 0


def _servers(invocation: Invocation) -> list[str]:
    """The shares whose servers end with the broker."""
    from relay.core.errors import RelayError

    try:
        shares = invocation.client().ask(tool_routes.shares())
    except RelayError:
        return []  # why there is no answer is told by who stops it
    return [clean(each["name"]) for each in shares if each["command"] is not None and each["running"]]

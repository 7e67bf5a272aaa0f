"""`relay continue`."""

from __future__ import annotations

from relay.api import queue_routes, routes
from relay.cli import ordering, speech, staying
from relay.cli.steering import tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.cli.invocation import Invocation

FAILED = 1
LOG_OF_ONE = 2**40  # offsets of attempt n begin at (n - 1) times this


def run(invocation: Invocation, *, spawn: str, text: str, wait: bool, follow: bool) -> int:
    """Have the agent of a spawn that has ended go on in its session; with --wait or --follow stay until its end."""
    client = invocation.client()
    try:
        before = client.ask(routes.show(spawn))
        went_on = client.ask(queue_routes.go_on(before["id"], ordering.task(text)))
    except Exception as fault:
        if not wait and not follow:
            raise
        return staying.not_run(invocation, fault)
    if not wait and not follow:
        return tell(invocation, went_on, "goes on")
    if went_on["steer"]["state"] != "done":
        tell(invocation, went_on, "goes on")
        speech.note("so that there is nothing to wait for yet")
        return FAILED
    return staying.stay(invocation, client, went_on, follow, before["attempt"] * LOG_OF_ONE)

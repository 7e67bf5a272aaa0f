"""`relay retry`."""

from __future__ import annotations

from relay.api import queue_routes
from relay.cli import speech
from relay.cli.spawn_lines import say_failure, title
from relay.cli.steering import tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.cli.invocation import Invocation

NOT_STARTED = ("cancelled", "rejected", "expired")
"""An end that the new attempt came to at once, such as that of what comes after something that has failed."""


def run(invocation: Invocation, *, spawn: str) -> int:
    """Have a spawn that has ended run once more; exit status 1 where it does not."""
    found = invocation.client().ask(queue_routes.retry(spawn))
    if found["steer"]["state"] != "done" or found["state"] not in NOT_STARTED:
        status = tell(invocation, found, "was asked to run again")
        if found["steer"]["state"] == "done" and found["state"] == "queued" and not invocation.json:
            speech.note(f"that one never got there; this is another, id {found['id']}")
        return status
    if invocation.json:
        speech.document(found)
    else:
        say_failure(found, invocation.home, f"{title(found)} does not run again")
    return 1

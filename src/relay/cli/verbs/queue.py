"""`relay queue`."""

from __future__ import annotations

from relay.api import routes
from relay.cli import speech
from relay.cli.spawn_lines import show_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.cli.invocation import Invocation


def run(invocation: Invocation) -> int:
    """List the tasks that have not ended."""
    spawns = invocation.client().ask(routes.queue())
    if invocation.json:
        speech.document(spawns)
    else:
        show_table(spawns, "the queue is empty")
    return 0

"""`relay ps`."""

from __future__ import annotations

from relay.api import routes
from relay.cli import speech
from relay.cli.spawn_lines import show_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.cli.invocation import Invocation


def run(invocation: Invocation, *, everything: bool, broker: str | None, limit: int | None) -> int:
    """List spawns, newest first."""
    spawns = invocation.client().ask(routes.spawns(everything, broker, limit))
    if everything and len(spawns) == routes.MOST_LISTED and (limit is None or limit > routes.MOST_LISTED):
        speech.note(f"these are the newest {routes.MOST_LISTED}; there may be more")
    if invocation.json:
        speech.document(spawns)
        return 0
    show_table(spawns, f"nothing runs or waits; run something: {invocation.home.command('spawn --help')}")
    return 0

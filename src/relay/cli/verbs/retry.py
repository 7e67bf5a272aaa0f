"""`relay retry`."""

from __future__ import annotations

from relay.api import queue_routes
from relay.cli.steering import tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.cli.invocation import Invocation


def run(invocation: Invocation, *, spawn: str) -> int:
    """Have a spawn that has ended run once more."""
    return tell(invocation, invocation.client().ask(queue_routes.retry(spawn)), "runs again")

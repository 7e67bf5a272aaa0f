"""`relay edit`."""

from __future__ import annotations

from relay.api import queue_routes, routes
from relay.cli import ordering
from relay.cli.steering import tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from relay.api.queue_shapes import SpawnChange
    from relay.cli.invocation import Invocation


def run(invocation: Invocation, *, spawn: str, words: list[str], **request: Any) -> int:
    """Change what has not started."""
    client = invocation.client()
    agent = client.ask(routes.show(spawn))["agent"] if words else ""
    change: SpawnChange = ordering.change(agent, words, **request)
    return tell(invocation, client.ask(queue_routes.edit(spawn, change)), "is changed")

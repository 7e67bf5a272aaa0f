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
    cwd = request["cwd"]
    is_relative = bool(cwd) and not cwd.startswith("/")
    known = client.ask(routes.show(spawn)) if words or is_relative else None
    if known is not None and is_relative and known["broker"]["id"] == client.ask(routes.status())["broker"]["id"]:
        request["cwd"] = ordering.folder_here(cwd)
    change: SpawnChange = ordering.change(known["agent"] if known else "", words, **request)
    return tell(invocation, client.ask(queue_routes.edit(spawn, change)), "is changed")

"""`relay logs`."""

from __future__ import annotations

from relay.api import routes
from relay.cli import following, waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.cli.invocation import Invocation

INTERRUPTED = 130


def run(invocation: Invocation, *, spawn: str, follow: bool, tail: int | None) -> int:
    """Print what a spawn has written."""
    client = invocation.client()
    try:
        following.copy(client, spawn, invocation.json, follow, tail)
    except KeyboardInterrupt:
        waiting.say_it_goes_on(client.ask(routes.show(spawn)), invocation.home)
        return INTERRUPTED
    return 0

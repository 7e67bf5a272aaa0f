"""`relay pause`, `relay resume`."""

from __future__ import annotations

from relay.api import queue_routes
from relay.cli.steering import tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.cli.invocation import Invocation


def pause(invocation: Invocation, *, spawn: str) -> int:
    """Keep a spawn from starting."""
    return tell(invocation, invocation.client().ask(queue_routes.pause(spawn)), "is paused")


def resume(invocation: Invocation, *, spawn: str) -> int:
    """Let a paused spawn start when its turn comes."""
    return tell(invocation, invocation.client().ask(queue_routes.resume(spawn)), "is not paused")

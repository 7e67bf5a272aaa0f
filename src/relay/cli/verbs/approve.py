"""`relay approve`."""

from __future__ import annotations

from relay.cli.answering import answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.cli.invocation import Invocation


def run(invocation: Invocation, *, spawn: str, request: str | None) -> int:
    """Say yes to what is asked about a spawn."""
    return answer(invocation, "approve", spawn, request)

"""`relay send`."""

from __future__ import annotations

from relay.cli.answering import answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.cli.invocation import Invocation

LATER = {"@": "a person", "#": "a channel"}


def run(invocation: Invocation, *, to: str, text: str, request: str | None) -> int:
    """Send a line to a running task."""
    if to[:1] in LATER:
        from relay.core.errors import Misuse

        raise Misuse(
            f"{to[:60]!r} cannot be sent to",
            why=f"it names {LATER[to[0]]}, and this version sends to spawns alone",
            hint="relay ps",
        )
    return answer(invocation, "send", to, request, text)

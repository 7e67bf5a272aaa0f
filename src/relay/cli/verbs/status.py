"""`relay status`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.cli.invocation import Invocation


def run(invocation: Invocation, *, short: bool) -> int:
    """Show how the broker is; without one say so."""
    if short:  # a prompt asks for it at every line: it loads nothing of the other
        from relay.cli import status_line

        return status_line.run(invocation)
    from relay.cli import status_facts

    return status_facts.show(invocation)

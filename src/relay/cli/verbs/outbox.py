"""`relay outbox`."""

from __future__ import annotations

from relay.api import routes
from relay.api.durations import spoken
from relay.cli import speech, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.shapes import EnvelopeRow
    from relay.cli.invocation import Invocation

HEADINGS = ("WHERE", "KIND", "PEER", "STATE", "AGE", "TRIES", "ID", "WHY")


def run(invocation: Invocation) -> int:
    """Show the envelopes this broker holds."""
    found = invocation.client().ask(routes.outbox())
    if invocation.json:
        speech.document(found)
        return 0
    groups = (
        ("outgoing", found["outgoing"]),
        ("incoming", found["incoming"]),
        ("held for others", found["held_for_others"]),
        ("given up", found["dead"]),
    )
    rows = [_row(where, envelope) for where, envelopes in groups for envelope in envelopes]
    table.show(HEADINGS, rows, "no envelope is on its way")
    return 0


def _row(where: str, envelope: EnvelopeRow) -> list[str]:
    age, tries, reason = spoken(envelope["age_s"]), str(envelope["tries"]), envelope["reason"] or ""
    return [where, envelope["kind"], envelope["peer"], envelope["state"], age, tries, envelope["id"][:8], reason]

"""`relay audit show` and `relay audit verify`."""

from __future__ import annotations

from relay.api import routes
from relay.cli import speech, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.shapes import AuditEntry
    from relay.cli.invocation import Invocation

HEADINGS = ("SEQ", "AT", "WHO", "WHAT", "OUTCOME", "CODE", "DETAIL")


def show(invocation: Invocation, *, limit: int | None) -> int:
    """Print the latest decisions, oldest first."""
    entries = invocation.client().ask(routes.audit(limit))
    if invocation.json:
        speech.document(entries)
    else:
        ordered = sorted(entries, key=lambda entry: entry["seq"])
        table.show(HEADINGS, [_row(entry) for entry in ordered], "nothing was decided yet")
    return 0


def _row(entry: AuditEntry) -> list[str]:
    who = entry["actor"] if len(entry["actor"]) < 20 else entry["actor"][:8]
    at = entry["at"][:19].replace("T", " ")
    return [str(entry["seq"]), at, who, entry["action"], entry["outcome"], entry["code"], entry["detail"]]


def verify(invocation: Invocation) -> int:
    """Check the chain."""
    verdict = invocation.client().ask(routes.audit_verify())
    if invocation.json:
        speech.document(verdict)
    elif verdict["ok"]:
        speech.say(f"the audit log holds: {verdict['entries']} entries, head {verdict['head'][:16]}")
    else:
        bad = verdict["bad_seq"]
        speech.note(f"error: the audit log was changed or cut at entry {bad}")
        speech.note(f"try:   {invocation.home.command('audit show')}, and compare with a backup of this home")
    return 0 if verdict["ok"] else 1

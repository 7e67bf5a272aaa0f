"""`relay audit show` and `relay audit verify`."""

from __future__ import annotations

from relay.api import routes
from relay.cli import speech, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.audit_shapes import AuditEntry
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
    at = entry["at"][:19].replace("T", " ")
    return [str(entry["seq"]), at, _who(entry), entry["kind"], entry["decision"], entry["code"], entry["detail"]]


def _who(entry: AuditEntry) -> str:
    broker = entry["broker"]
    if broker is None:
        return entry["actor"]
    return str(broker["name"]) if isinstance(broker, dict) else str(broker)


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

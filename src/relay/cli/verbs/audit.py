"""`relay audit show`, `relay audit export` and `relay audit verify`."""

from __future__ import annotations

from relay.api import routes
from relay.cli import ages, speech, table
from relay.cli.clean import clean
from relay.cli.resuming import over_restarts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.audit_shapes import AuditEntry, AuditVerdict
    from relay.cli.invocation import Invocation

HEADINGS = ("SEQ", "AT", "WHO", "WHAT", "OUTCOME", "CODE", "DETAIL")
BEFORE_FOLLOWING = 10


def show(invocation: Invocation, *, limit: int | None, follow: bool) -> int:
    """Print the latest decisions, oldest first; with --follow those to come as well, one a line."""
    if follow:
        return _follow(invocation, BEFORE_FOLLOWING if limit is None else limit)
    entries = invocation.client().ask(routes.audit(limit))
    if invocation.json:
        speech.document(entries)
    else:
        ordered = sorted(entries, key=lambda entry: entry["seq"])
        table.show(HEADINGS, [_row(entry) for entry in ordered], "nothing was decided yet")
    return 0


def _follow(invocation: Invocation, limit: int) -> int:
    client = invocation.client()
    newest = client.ask(routes.audit(1))
    start = max(newest[-1]["seq"] - limit, 0) if newest else 0
    for entry in over_restarts(client, lambda at: routes.audit_lines(at, True), start, "seq", True, has_end=False):
        if invocation.json:
            speech.streamed(entry)
        else:
            _say(entry)
    return 0


def _say(entry: AuditEntry) -> None:
    what = f"{_who(entry)}  {entry['kind']}  {entry['decision']}"
    rest = " ".join(each for each in (entry["code"], entry["detail"]) if each)
    speech.say(clean(f"{entry['seq']:>6}  {ages.clock(entry['at'])}  {what}  {rest}"))
    speech.flush()


def export(invocation: Invocation, *, since: int | None) -> int:
    """Print every entry as a line of JSON."""
    for entry in invocation.client().lines(routes.audit_lines(since or 0, False)):
        speech.streamed(entry)
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
    """Check the chain, and that it has what other brokers saw of it."""
    verdict = invocation.client().ask(routes.audit_verify())
    if invocation.json:
        speech.document(verdict)
    else:
        _say_verdict(invocation, verdict)
    return 0 if verdict["ok"] else 1


def _say_verdict(invocation: Invocation, verdict: AuditVerdict) -> None:
    if verdict["ok"]:
        speech.say(f"the audit log holds: {verdict['entries']} entries, head {verdict['head'][:16]}")
        seen = [f"{each['broker']['name']} (up to {each['seq']})" for each in verdict["held_by"]]
        nobody = "no other broker has said yet that it saw it"
        speech.say(clean(f"as other brokers saw it: {', '.join(seen)}" if seen else nobody))
    if verdict["bad_seq"] is not None:
        speech.note(f"error: the audit log was changed or cut at entry {verdict['bad_seq']}")
    for each in verdict["held_by"]:
        if not each["ok"]:
            holder = f"{each['broker']['name']} holds its entry {each['seq']}, signed"
            speech.note(clean(f"error: the audit log was cut or changed: {holder}"))
    if not verdict["ok"]:
        speech.note(f"try:   {invocation.home.command('audit show')}, and compare with a backup of this home")
    for cut in verdict["cut_elsewhere"]:
        name = clean(cut["broker"]["name"])
        speech.note(f"note:  the audit log of {name} was cut or changed: it had {cut['seq']} entries")
        speech.note(f"try:   on {name}: relay audit verify")

"""`relay brokers`."""

from __future__ import annotations

from relay.api import routes
from relay.cli import ages, speech, table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.shapes import Broker
    from relay.cli.invocation import Invocation

HEADINGS = ("NAME", "ID", "REACHABLE", "LINK", "MAY HERE", "WE MAY THERE")


def run(invocation: Invocation) -> int:
    """List the members of the workspace."""
    found = invocation.client().ask(routes.brokers())
    if invocation.json:
        speech.document(found)
        return 0
    table.show(HEADINGS, [_row(each) for each in found], "the workspace has no members")
    if len(found) == 1:
        speech.note(f"bring in another machine: {invocation.home.command('invite --link')}")
    return 0


def _row(broker: Broker) -> list[str]:
    if broker["self"]:
        return [broker["name"], broker["id"][:8], "this machine", "", "everything", ""]
    ours, theirs = broker["grants"]["from_us"], broker["grants"]["to_us"]
    here = ", ".join(ours) or "nothing"
    there = "unknown" if theirs is None else ", ".join(theirs) or "nothing"
    return [broker["name"], broker["id"][:8], _reachable(broker), _link(broker), here, there]


def _reachable(broker: Broker) -> str:
    if broker["online"]:
        return "yes"
    seen = f", seen {ages.since(broker['last_seen'])} ago" if broker["last_seen"] else ""
    return ("unknown" if broker["online"] is None else "no") + seen


def _link(broker: Broker) -> str:
    rtt = f" {broker['rtt_ms']:.1f} ms" if broker["rtt_ms"] is not None else ""
    return (broker["link"] or "") + rtt

"""`relay brokers`."""

from __future__ import annotations

from relay.api import roster_routes, routes
from relay.api.durations import spoken
from relay.cli import ages, speech, table
from relay.cli.clean import clean
from relay.cli.standing_words import granted_there, waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.broker_shapes import Broker
    from relay.api.roster_shapes import Admitted, Evicted, Signer
    from relay.cli.invocation import Invocation

HEADINGS = ("NAME", "ID", "PRESENCE", "LINK", "WAITING", "MAY HERE", "WE MAY THERE")
FIRST_TO_GO = ("WAITING", "ID", "LINK")
SKEW_SHOWN_MS = 60_000


ROSTER_HEADINGS = ("NAME", "ID", "SIGNS", "ADMITTED", "BY")
EVICTED_HEADINGS = ("PUT OUT", "ID", "WHEN", "BY", "WHY")


def run(invocation: Invocation, *, roster: bool) -> int:
    """List the members of the workspace, or what its roster says."""
    if roster:
        return _roster(invocation)
    found = invocation.client().ask(routes.brokers())
    if invocation.json:
        speech.document(found)
        return 0
    names = {each["id"]: each["name"] for each in found}
    table.show(HEADINGS, [_row(each, names) for each in found], "the workspace has no members", FIRST_TO_GO)
    for each in found:
        if each.get("audit_cut"):
            verify = invocation.home.command("audit verify")
            speech.note(f"the audit log of {clean(each['name'])} was cut or changed: {verify}")
    if len(found) == 1:
        speech.note(f"bring in another machine: {invocation.home.command('invite --link')}")
    return 0


def _roster(invocation: Invocation) -> int:
    found = invocation.client().ask(roster_routes.roster())
    if invocation.json:
        speech.document(found)
        return 0
    by = {each["id"]: _by(each) for each in found["signers"]}
    table.show(ROSTER_HEADINGS, [_member(each, by) for each in found["members"]], "the roster is empty")
    if found["evicted"]:
        speech.say("")
        table.show(EVICTED_HEADINGS, [_evicted(each) for each in found["evicted"]], "")
    if found["forked"]:
        speech.note("two statements follow the same one: a signer was cloned or restored; nothing after them counts")
    for each in found["signers"]:
        if each["forked"] and each["promoted"]:
            called = clean(each["name"])
            speech.note(f"two statements of {called} follow the same one, and none after them counts; for it to sign")
            speech.note(f"again: {invocation.home.command(f'broker demote {called}')}, then broker promote {called}")
    return 0


def _by(each: Signer) -> str:
    return f"by {each['promoted']['by']['name']}" if each["promoted"] else "as its creator"


def _member(each: Admitted, signs: dict[str, str]) -> list[str]:
    by = "itself, as its creator" if each["admitted_by"]["id"] == each["id"] else each["admitted_by"]["name"]
    return [each["name"], each["id"][:8], signs.get(each["id"], ""), f"{ages.since(each['admitted'])} ago", by]


def _evicted(each: Evicted) -> list[str]:
    return [each["name"], each["id"][:8], f"{ages.since(each['at'])} ago", each["by"]["name"], each["reason"]]


def _row(broker: Broker, names: dict[str, str]) -> list[str]:
    if broker["self"]:
        return [broker["name"], broker["id"][:8], "this machine", "", "", "everything", ""]
    here = ", ".join(broker["grants"]["from_us"]) or "nothing"
    where = [_presence(broker), _link(broker, names), waiting(broker)]
    return [broker["name"], broker["id"][:8], *where, here, granted_there(broker)]


PRESENCE = {
    "online": "online",
    "asleep": "asleep, as it said",
    "down": "stopped, as it said",
    "gone": "gone without a word",
}


def _presence(broker: Broker) -> str:
    words = [PRESENCE.get(broker.get("presence") or "", "online" if broker["online"] else "unknown")]
    if not broker["online"] and broker["last_seen"]:
        words.append(f"seen {ages.since(broker['last_seen'])} ago")
    skew = broker.get("clock_skew_ms") or 0
    if abs(skew) >= SKEW_SHOWN_MS:
        words.append(f"its clock is {spoken(abs(skew) / 1000)} {'ahead' if skew > 0 else 'behind'}")
    if broker.get("trouble"):
        words.append(str(broker["trouble"]))
    return ", ".join(words)


def _link(broker: Broker, names: dict[str, str]) -> str:
    rtt = f" {broker['rtt_ms']:.1f} ms" if broker["rtt_ms"] is not None else ""
    via = f" via {names.get(broker['via'], broker['via'][:8])}" if broker["via"] else ""
    return (broker["link"] or "") + via + rtt

"""`relay broker`: one machine of the workspace."""

from __future__ import annotations

import time

from relay.api import roster_routes, routes
from relay.cli import ages, speech, table
from relay.cli.clean import clean
from relay.cli.standing_words import granted_there, waiting
from relay.core.errors import Misuse, Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.broker_shapes import AddressHint, BrokerShown
    from relay.api.home import Home
    from relay.cli.invocation import Invocation

MOST_PINGS = 1_000
PING_EVERY_S = 0.2


def show(invocation: Invocation, *, name: str) -> int:
    """Show one member."""
    found = invocation.client().ask(routes.broker(name))
    if invocation.json:
        speech.document(found)
        return 0
    table.facts([*_who(found, invocation.home), *_where(found), *_what(found)])
    for hint in found["addresses"]:
        speech.say(f"  {clean(hint['address'])}  {_source(hint)}")
    if not found["addresses"] and not found["self"]:
        command = invocation.home.command(f"config set peers.{found['name']} HOST:PORT")
        speech.note(f"no address of it is known here; to give one: {command}")
    return 0


def _who(found: BrokerShown, home: Home) -> list[tuple[str, str]]:
    label = found["roster_name"] or ""
    verify, allow = home.command("audit verify"), home.command("trust allow")
    return [
        ("name", found["name"] + (f" (the workspace calls it {label})" if label not in ("", found["name"]) else "")),
        ("id", found["id_groups"]),
        ("machine", "this one" if found["self"] else ""),
        ("version", found["version"] or ""),
        ("starts", str(found["incarnation"] or "")),
        ("audit log", f"cut or changed: {verify}" if found.get("audit_cut") else ""),
        ("frozen", f"yes: a second machine showed its identity; {allow} thaws it" if found["frozen"] else ""),
    ]


def _where(found: BrokerShown) -> list[tuple[str, str]]:
    link, skew = found["link"], found["clock_skew_ms"]
    seen = f"{ages.since(found['last_seen'])} ago" if found["last_seen"] else "never"
    way = f"{link['kind']}, {'to' if link['dialled_by_us'] else 'from'} {link['address']}" if link else _no_link(found)
    return [
        ("link", "" if found["self"] else way + (f", for {ages.since(link['since'])}" if link else "")),
        ("round trip", f"{link['rtt_ms']} ms" if link and link["rtt_ms"] is not None else ""),
        ("last seen", "" if link or found["self"] else seen),
        ("waits for it", "" if found["self"] else waiting(found)),
        ("last dial", found["trouble"] or "" if not link else ""),
        ("clock", f"{skew / 1000:+.1f} s against ours" if skew is not None and abs(skew) >= 1000 else ""),
    ]


def _no_link(found: BrokerShown) -> str:
    return f"none; reached through {found['via']['name']}" if found["via"] else "none"


def _what(found: BrokerShown) -> list[tuple[str, str]]:
    record = found["record"]
    word = f"{ages.since(record['created'])} old, for {ages.ahead(record['expires'])}" if record else "none"
    return [
        ("may here", "" if found["self"] else ", ".join(found["grants"]["from_us"]) or "nothing"),
        ("we may there", "" if found["self"] else granted_there(found)),
        ("always on", "" if found["always_on"] is None else "yes" if found["always_on"] else "no"),
        ("agents", ", ".join(found["agents"])),
        ("can", ", ".join(found["capabilities"])),
        ("linked with", ", ".join(each["name"] for each in found["linked"])),
        ("its record", word),
    ]


def _source(hint: AddressHint) -> str:
    age = f", {ages.since(hint['learnt'])} ago" if hint["learnt"] and hint["source"] != "config" else ""
    worked = f", worked {ages.since(hint['worked'])} ago" if hint["worked"] else ""
    return f"({hint['source']}{age}{worked})"


def rename(invocation: Invocation, *, name: str, new: str) -> int:
    """Call a member otherwise."""
    found = invocation.client().ask(routes.broker_rename(name, new))
    if invocation.json:
        speech.document(found)
        return 0
    where = "on every machine" if found["everywhere"] else "on this machine; the others call it as before"
    speech.say(f"{found['id'][:8]} is called {clean(found['name'])} {where}")
    return 0


def ping(invocation: Invocation, *, name: str, count: int) -> int:
    """Measure round trips."""
    if not 1 <= count <= MOST_PINGS:
        raise Misuse(
            "the count cannot be used",
            why=f"it is a number from 1 to {MOST_PINGS}",
            hint="relay broker ping NAME --count 5",
        )
    client = invocation.client()
    took: list[float] = []
    called = name
    try:
        for at in range(count):
            if at:
                time.sleep(PING_EVERY_S)
            answer = client.ask(routes.broker_ping(name))
            called = answer["broker"]["name"]
            took.append(answer["rtt_ms"])
            if not invocation.json:
                speech.say(f"{clean(called)} answers in {answer['rtt_ms']:.1f} ms")
    except Unreachable as fault:
        if invocation.json or not took:
            raise
        speech.error(fault)
        return 1
    _sum_up(invocation, called, took)
    return 0


def _sum_up(invocation: Invocation, called: str, took: list[float]) -> None:
    least, middle, most = min(took), sorted(took)[len(took) // 2], max(took)
    if invocation.json:
        speech.document(
            {"name": called, "link": "direct", "rtt_ms": took, "min_ms": least, "median_ms": middle, "max_ms": most}
        )
    elif len(took) > 1:
        speech.say(f"{len(took)} round trips: {least:.1f} ms at best, {middle:.1f} in the middle, {most:.1f} at worst")


def forget(invocation: Invocation, *, name: str) -> int:
    """Delete what is known of a member."""
    found = invocation.client().ask(routes.broker_forget(name))
    if invocation.json:
        speech.document(found)
        return 0
    called = clean(found["broker"]["name"])
    speech.say(f"forgotten of {called}: {found['addresses']} addresses, {'its' if found['record'] else 'no'} record")
    if found["linked"]:
        speech.note("it is linked now: what it says of itself comes back at once")
    else:
        speech.note("it is still a member: its record comes back when another member passes it on, or when it dials us")
    revoke = invocation.home.command(f"trust revoke {called}")
    speech.note(f"it may do here what it might before; to end that: {revoke}")
    return 0


def evict(invocation: Invocation, *, name: str, reason: str) -> int:
    """Put a member out of the workspace."""
    found = invocation.client().ask(roster_routes.broker_evict(name, reason))
    if invocation.json:
        speech.document(found)
        return 0
    called = clean(found["broker"]["name"])
    speech.say(f"{called} is put out of the workspace, and its grant here is gone")
    speech.note("every machine that hears of it closes its links to it and stops what it runs for it; one that sleeps")
    speech.note(f"does so when it wakes. To let it in again: {invocation.home.command('invite')}")
    rotate = invocation.home.command("workspace rotate")
    speech.note(f"it still has the workspace's key, which alone opens nothing; to change that as well: {rotate}")
    return 0


def promote(invocation: Invocation, *, name: str) -> int:
    """Make a member a signer of the roster."""
    found = invocation.client().ask(roster_routes.broker_promote(name))
    if invocation.json:
        speech.document(found)
        return 0
    called = clean(found["broker"]["name"])
    speech.say(f"{called} signs the roster from now on: it may invite, admit, put out and promote")
    speech.note(f"grants stay each machine's own. To end it: {invocation.home.command(f'broker demote {called}')}")
    return 0


def demote(invocation: Invocation, *, name: str, reason: str) -> int:
    """End a member's right to sign the roster."""
    found = invocation.client().ask(roster_routes.broker_demote(name, reason))
    if invocation.json:
        speech.document(found)
        return 0
    called = clean(found["broker"]["name"])
    speech.say(f"{called} signs the roster no more; it stays a member, and what it signed up to now stays")
    speech.note("what it has signed that has not come here yet counts nowhere; whom it promoted goes on to sign:")
    speech.note(f"{invocation.home.command('brokers --roster')} shows who does")
    return 0

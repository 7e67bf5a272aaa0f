"""`relay notify`."""

from __future__ import annotations

from relay.api import notify_routes
from relay.cli import ages, speech, table
from relay.cli.clean import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.notify_shapes import Channel, Told
    from relay.cli.invocation import Invocation

HEADINGS = ("NAME", "SERVICE", "ON", "ONLY", "VIA", "WAITING", "LAST", "TROUBLE")
SENT = ("AGE", "EVENT", "CHANNEL", "STATE", "TRIES", "TEXT", "ERROR")
MOST_ADDRESS = 4_096


def add(
    invocation: Invocation,
    *,
    name: str,
    address_file: str | None,
    on: list[str],
    by: list[str],
    label: list[str],
    agent: list[str],
    broker: list[str],
    via: list[str],
    instead_of: str | None,
    link: str | None,
    full: bool,
) -> int:
    """Be told over a service."""
    _require_name(name)
    others = [part for each in via for part in each.split(",") if part]
    added = invocation.client().ask(
        notify_routes.add(
            {
                "name": name,
                "address": _address(address_file),
                "on": on,
                "by": by,
                "labels": label,
                "agents": agent,
                "brokers": broker,
                "via": others,
                "instead_of": instead_of,
                "link": link,
                "full": full,
            }
        )
    )
    if invocation.json:
        speech.document(added)
        return 0
    speech.say(clean(f"You are told over {added['name']} ({added['service']}) {_when(added)}."))
    if added["via"]:
        names = ", ".join(each["name"] for each in added["via"])
        speech.note(clean(f"asked of {names}: {invocation.home.command('notify list')} shows what they say"))
    speech.note(f"try it: {invocation.home.command(f'notify test {name}')}")
    return 0


def _require_name(name: str) -> None:
    if "://" in name:
        from relay.core.errors import Code, Misuse

        why = "what stands on the command line is seen by every program of this machine, and kept by the shell"
        hint = "relay notify add NAME, which asks for the address; change the secret in it, as it was seen now"
        raise Misuse("an address does not belong on the command line", code=Code.BAD_CHANNEL, why=why, hint=hint)


def _address(file: str | None) -> str:
    if file is None or file == "-":
        from relay.cli import unseen

        return unseen.line("address (it is not shown): ")
    try:
        with open(file, encoding="utf-8") as opened:
            return opened.read(MOST_ADDRESS).strip()
    except (OSError, UnicodeDecodeError) as fault:
        from relay.core.errors import Code, Misuse

        why = getattr(fault, "strerror", None) or "it is no text"
        raise Misuse(
            f"the file of the address cannot be read: {file}", code=Code.BAD_FILE, why=why, hint="check its path"
        ) from None


def _when(channel: Channel) -> str:
    if channel["instead_of"]:
        return f"where {channel['instead_of']} fails"
    words = {"end": "when something ends", "failure": "of failures", "needs": "when you are needed"}
    words["asked"] = "of what is asked for with --notify"
    return ", ".join(words[each] for each in channel["on"])


def listing(invocation: Invocation) -> int:
    """List the channels."""
    found = invocation.client().ask(notify_routes.channels())
    if invocation.json:
        speech.document(found)
    else:
        nothing = f"nobody is told of anything; {invocation.home.command('notify add NAME')} adds a channel"
        table.show(HEADINGS, [_row(each) for each in found], nothing)
    return 0


def _row(channel: Channel) -> list[str]:
    only = channel["only"]
    limits = [*only["by"], *only["labels"], *only["agents"], *(each["name"] for each in only["brokers"])]
    when = f"instead of {channel['instead_of']}" if channel["instead_of"] else ",".join(channel["on"])
    last, owner = channel["last"], channel["owner"]["name"]
    via = ", ".join(each["name"] + _unless(each["state"], "accepted") for each in channel["via"]) or "-"
    refused = "; ".join(f"{each['name']}: {each['why']}" for each in channel["via"] if each["why"])
    shown = f"{_said(last)} {ages.since(last['ended'] or last['created'])} ago" if last else "never"
    trouble = channel["trouble"] or refused
    service = f"{channel['service']} of {owner}"
    return [channel["name"], service, when, ", ".join(limits) or "-", via, str(channel["waiting"]), shown, trouble]


def _unless(state: str, usual: str) -> str:
    return "" if state == usual else f" ({state})"


def _said(told: Told) -> str:
    return told["state"].replace("_", " ")


def test(invocation: Invocation, *, channel: str) -> int:
    """Send a test over a channel."""
    told = invocation.client().ask(notify_routes.test(channel))
    if invocation.json:
        speech.document(told)
    elif told["delivered"]:
        speech.say(clean(f"{told['channel']} took it."))
    else:
        from relay.core.errors import Code, Unreachable

        hint = f"{invocation.home.command('notify list')}; where its address is wrong, remove it and add it again"
        why = told["error"] or "it has not been tried yet: another one is being sent over it"
        speech.error(Unreachable(f"{told['channel']} did not take it", code=Code.UNREACHABLE, why=why, hint=hint))
    return 0 if told["delivered"] else 1


def sent(invocation: Invocation, *, spawn: str | None, limit: int | None) -> int:
    """List what was told."""
    found = invocation.client().ask(notify_routes.sent(spawn, limit))
    if invocation.json:
        speech.document(found)
    else:
        table.show(SENT, [_told(each) for each in found], "nothing was told so far")
    return 0


def _told(told: Told) -> list[str]:
    by = f" by {told['told_by']['name']}" if told["told_by"] and told["state"] == "elsewhere" else ""
    age = ages.since(told["created"])
    channel = told["channel"] or "(removed)"
    return [age, told["event"], channel, _said(told) + by, str(told["tries"]), told["text"], told["error"] or ""]


def remove(invocation: Invocation, *, channel: str) -> int:
    """Tell over a channel no more."""
    removed = invocation.client().ask(notify_routes.remove(channel))
    if invocation.json:
        speech.document(removed)
    else:
        speech.say(clean(f"Removed {removed['name']}; nothing is told over it any more."))
    return 0

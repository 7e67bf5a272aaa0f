"""`relay invite`."""

from __future__ import annotations

import sys

from relay.api import routes
from relay.api.durations import parse
from relay.cli import ages, speech
from relay.cli.clean import clean
from relay.cli.resuming import last_event, over_restarts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from relay.api.client import Client
    from relay.api.pairing_shapes import InviteCode
    from relay.cli.invocation import Invocation


def run(invocation: Invocation, *, link: bool, ttl: str | None) -> int:
    """Let one machine in, once: by a code that can be read out, or by a link."""
    ttl_s = parse(ttl) if ttl else None
    return _by_link(invocation, ttl_s) if link else _by_code(invocation, ttl_s)


def _by_link(invocation: Invocation, ttl_s: float | None) -> int:
    made = invocation.client().ask(routes.invite(ttl_s))
    if invocation.json:
        speech.document(made)
        return 0
    speech.say(made["link"])
    speech.note(f"It works once, for {ages.ahead(made['expires'])}. On the machine that is to join, paste it to:")
    speech.note("  relay join")
    _say_what_it_gives()
    return 0


def _by_code(invocation: Invocation, ttl_s: float | None) -> int:
    client = invocation.client()
    before = last_event(client)
    made = client.ask(routes.invite_code(ttl_s))
    if invocation.json:
        speech.document(made)
        return 0
    speech.note(f"It works once, for {ages.ahead(made['expires'])}; a wrong guess ends it.")
    speech.note("On the machine that is to join:")
    for address in made["addresses"]:
        speech.say(f"  relay join {made['code']} {address}")
    _say_what_it_gives()
    return _watch(client, made, before) if speech.is_terminal(sys.stdout) else 0


def _say_what_it_gives() -> None:
    speech.note("It gives membership only. To run work there, that machine must allow it:")
    speech.note("  relay trust allow BROKER --profile runner --dir FOLDER")


def _watch(client: Client, made: InviteCode, before: int) -> int:
    """Until the code is used, burnt or over: the words that both people compare come when it is used."""
    speech.note("waiting for it to join (Ctrl-C leaves; the code works on)")
    for event in over_restarts(client, lambda at: routes.events(at, True), before, "seq", True, has_end=False):
        if event.get("invite") == made["invite"]:
            return _told(event)
    return 0


def _told(event: Mapping[str, Any]) -> int:
    if event["state"] == "used":
        speech.say(f"{clean(event['name'])} has joined")
        speech.say(f"compare with the other screen: {event['compare']}")
        return 0
    speech.say("a wrong code was tried: this one is burnt" if event["state"] == "burnt" else "the code has expired")
    return 1

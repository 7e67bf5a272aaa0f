"""`relay logs`."""

from __future__ import annotations

from relay.api import routes
from relay.cli import following, speech, waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.client import Client
    from relay.cli.invocation import Invocation

INTERRUPTED = 130


def _say_if_away(client: Client, spawn: str) -> None:
    target = client.ask(routes.show(spawn))["broker"]
    there = next((each["online"] for each in client.ask(routes.brokers()) if each["id"] == target["id"]), None)
    if not there:
        speech.note(f"{target['name']} is not in reach now; what is new comes when it is (Ctrl-C leaves it running)")


def run(invocation: Invocation, *, spawn: str, follow: bool, tail: int | None) -> int:
    """Print what a spawn has written."""
    client = invocation.client()
    if follow:
        _say_if_away(client, spawn)
    try:
        following.copy(client, spawn, invocation.json, follow, tail)
    except KeyboardInterrupt:
        waiting.say_it_goes_on(client.ask(routes.show(spawn)), invocation.home)
        return INTERRUPTED
    return 0

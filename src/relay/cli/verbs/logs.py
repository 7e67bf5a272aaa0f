"""`relay logs`."""

from __future__ import annotations

from relay.api import routes
from relay.api.sizes import spoken
from relay.cli import following, moments, speech, waiting
from relay.cli.clean import clean
from relay.cli.spawn_lines import has_ended, never_ran, say_failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.client import Client
    from relay.api.shapes import Fault, Spawn
    from relay.cli.invocation import Invocation

INTERRUPTED = 130
WAITS = ("held", "waiting")
MOST_LINES = 2**53 - 1
"""No log has as many, and a broker takes no greater number."""


def _say_if_away(invocation: Invocation, client: Client, spawn: str) -> None:
    found = client.ask(routes.show(spawn))
    if has_ended(found):
        return
    target = found["broker"]
    there = next((each["online"] for each in client.ask(routes.brokers()) if each["id"] == target["id"]), None)
    if not there:
        speech.note(f"{target['name']} is not in reach now; what is new comes when it is (Ctrl-C leaves it as it is)")
    elif found["state"] in WAITS and not invocation.json:
        _say_if_not_begun(found)


def _say_if_not_begun(spawn: Spawn) -> None:
    if not spawn["attempt"]:
        speech.note(f"there is no output yet: {clean(spawn['ack'])}")


def _say_what_is_not_there(invocation: Invocation, spawn: Spawn, has_any: bool, is_whole: bool) -> None:
    if not has_any:
        _say_why_nothing(invocation, spawn, is_whole)
    result = spawn["result"]
    if result and (lost := result.get("output_lost_bytes")):
        speech.flush()
        command = invocation.home.command(f"result {spawn['id']}")
        speech.note(f"[{spoken(lost)} of its output are not in its log: {command} says why]")


def _say_why_nothing(invocation: Invocation, spawn: Spawn, is_whole: bool) -> None:
    if never_ran(spawn):
        speech.note("there is no output: nothing of it ever ran")
        say_failure(spawn, invocation.home)
    elif not has_ended(spawn):
        _say_if_not_begun(spawn)
    elif is_whole and spawn["state"] != "completed":
        speech.note("there is no output")
        say_failure(_not_sent_back(spawn), invocation.home)


def _not_sent_back(spawn: Spawn) -> Spawn:
    """The same, where its next step would be to read the log, which is empty."""
    # one that was stopped has no error of its own
    error: Fault = spawn["error"] or {"code": spawn["state"], "message": spawn["reason"], "hint": ""}
    if error["hint"] and not error["hint"].startswith("relay logs "):
        return spawn
    return {**spawn, "error": {**error, "hint": f"relay show {spawn['id']}"}}


def run(invocation: Invocation, *, spawn: str, follow: bool, tail: int | None, since: str | None, plain: bool) -> int:
    """Print what a spawn has written."""
    moment = None if since is None else moments.past(since)
    client = invocation.client()
    if follow:
        _say_if_away(invocation, client, spawn)
    try:
        most = None if tail is None else min(tail, MOST_LINES)
        has_any = following.copy(client, spawn, invocation.json, follow, most, moment, plain)
        if not invocation.json:
            _say_what_is_not_there(invocation, client.ask(routes.show(spawn)), has_any, most != 0 and moment is None)
    except KeyboardInterrupt:
        waiting.say_it_is_left(client, spawn, invocation.home)
        return INTERRUPTED
    return 0

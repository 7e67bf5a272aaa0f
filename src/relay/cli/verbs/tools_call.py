"""`relay tools call`, `tools result` and `tools stop`."""

from __future__ import annotations

import sys

from relay.api import tool_routes
from relay.api.person import person
from relay.cli import speech, waiting
from relay.cli.blanks import refuse_blank
from relay.cli.call_lines import has_ended, print_result, say_failure, status_of, title
from relay.cli.clean import clean
from relay.dashboard.words import word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from relay.api.tool_shapes import CallOrder, ToolCall
    from relay.cli.invocation import Invocation
    from relay.cli.patient import PatientClient
    from relay.core.errors import Misuse

INTERRUPTED, FAILED = 130, 1
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0
MAX_ARGUMENTS = 1 << 20
EXAMPLE = "relay tools call NAME '{\"path\": \"/tmp\"}'   or: @FILE, or - for standard input"


def run(
    invocation: Invocation,
    *,
    name: str,
    arguments: str | None,
    broker: str | None,
    timeout: str | None,
    ttl: str | None,
    wait: bool,
) -> int:
    """Run a tool once."""
    refuse_blank(broker=broker, timeout=timeout, ttl=ttl)
    order: CallOrder = {
        "tool": name,
        "broker": broker,
        "arguments": _object(arguments),
        "timeout_s": _seconds(timeout),
        "ttl_s": _seconds(ttl),
        "requested_by": person(),
    }
    client = invocation.client()
    try:
        asked = client.ask(tool_routes.call(order))
    except KeyboardInterrupt:
        speech.note(f"\nit may have been accepted: {invocation.home.command('tools')}")
        return INTERRUPTED
    if has_ended(asked) or wait:
        return _stay(invocation, client, asked)
    if invocation.json:
        speech.document(asked)
    else:
        speech.say(clean(asked["spoken"]))
        speech.note(f"id {asked['id']}: {_wait_for(invocation, asked)}")
    return 0


def result(invocation: Invocation, *, call: str, wait: bool) -> int:
    """Print what a call came to."""
    client = invocation.client()
    found = client.ask(tool_routes.call_shown(call))
    if wait or has_ended(found):
        return _stay(invocation, client, found)
    if invocation.json:
        speech.document(found)
    else:
        how = f"{title(found)} has not ended: {word(found['state'])}. {clean(found['spoken'])}"
        speech.note(f"{how}\ntry:   {_wait_for(invocation, found)}")
    return FAILED


def stop(invocation: Invocation, *, call: str) -> int:
    """Stop a call."""
    found = invocation.client().ask(tool_routes.stop_call(call, person()))
    if invocation.json:
        speech.document(found)
    elif has_ended(found):
        speech.say(clean(found["spoken"]))
    else:
        speech.say(clean(f"Asked of {found['broker']['name']}: {title(found)} is to stop."))
    return 0


def _stay(invocation: Invocation, client: PatientClient, call: ToolCall) -> int:
    """Wait for a call's end, and say how it ended; its exit status."""
    try:
        call = _ended(client, call, aloud=not invocation.json)
    except KeyboardInterrupt:
        speech.note(f"\n{title(call)} is left as it is: {word(call['state'])}")
        speech.note(f"go on: {_wait_for(invocation, call)}")
        speech.note(f"end it: {invocation.home.command('tools stop ' + call['id'])}")
        return INTERRUPTED
    if invocation.json:
        speech.document(call)
    else:
        print_result(call)
        if call["state"] != "completed":
            say_failure(call, invocation.home)
    return status_of(call)


def _wait_for(invocation: Invocation, call: ToolCall) -> str:
    return invocation.home.command(f"tools result {call['id']} --wait")


def _ended(client: PatientClient, call: ToolCall, *, aloud: bool) -> ToolCall:
    client.says = ""  # how it stands is told here
    seconds, told = FIRST_WAIT_S, ""
    while not has_ended(call):
        call = waiting.patiently(client, tool_routes.call_shown(call["id"], seconds))
        seconds = min(seconds * 2, LONGEST_WAIT_S)
        if aloud and not has_ended(call) and call["spoken"] != told:
            told = call["spoken"]
            speech.note(speech.coloured(clean(told), speech.DIM, sys.stderr))
    return call


# the words


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    from relay.api.durations import parse

    return parse(text)


def _object(text: str | None) -> dict[str, Any]:
    """The arguments that were typed.

    Raises:
        Misuse: they are no JSON object, or their file cannot be read.
    """
    import json

    if text is None:
        return {}
    read = _read(text)
    try:
        found = json.loads(read)
    except (ValueError, RecursionError) as fault:
        raise _misuse("the arguments are no JSON", str(fault)[:200]) from None
    if not isinstance(found, dict):
        raise _misuse("the arguments are no JSON object", f"they are a {type(found).__name__}")
    return found


def _read(text: str) -> str:
    if text != "-" and not text.startswith("@"):
        return text
    try:
        if text == "-":
            return "" if sys.stdin is None else sys.stdin.read(MAX_ARGUMENTS)
        with open(text[1:], encoding="utf-8") as file:
            return file.read(MAX_ARGUMENTS)
    except (OSError, UnicodeDecodeError) as fault:
        why = getattr(fault, "strerror", None) or "it is no text"
        raise _misuse(f"the arguments cannot be read: {text}", why) from None


def _misuse(what: str, why: str) -> Misuse:
    from relay.core.errors import Misuse

    return Misuse(what, why=why, hint=EXAMPLE)

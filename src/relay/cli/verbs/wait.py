"""`relay wait`."""

from __future__ import annotations

import time

from relay.api import routes
from relay.cli import ages, awaiting, speech, waiting
from relay.cli.clean import clean
from relay.cli.spawn_lines import has_ended, outcome, ref, say_failure, standing, status_of, title

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.shapes import Spawn
    from relay.api.view_shapes import Shown
    from relay.cli.invocation import Invocation
    from relay.core.errors import Unreachable

INTERRUPTED, FAILED = 130, 1
ONCE_MORE = ("retry", "continue")


def run(invocation: Invocation, *, spawns: list[str], timeout: str | None, first: bool) -> int:
    """Wait for all of them, or for the first; the first status that is not 0 counts."""
    until = None if timeout is None else time.monotonic() + _seconds(timeout)
    client = invocation.client()
    found = [waiting.at_first(client, routes.show(spawns[0]), until)]
    found += [waiting.patiently(client, routes.show(ref), until) for ref in spawns[1:]]
    for each in found:
        _say_it_may_run_again(each)
    teller: awaiting.Tell = (lambda spawn: None) if invocation.json else _teller(invocation)
    awaited = awaiting.Awaited(client, found, teller, is_quiet=invocation.json)
    try:
        awaited.run(until, first)
    except KeyboardInterrupt:
        _go_on(invocation, awaited, first)
        return INTERRUPTED
    now = awaited.in_order
    ended = [each for each in now if has_ended(each)]
    late = not ended if first else len(ended) < len(now)
    if late:
        return _too_late(invocation, awaited, timeout or "", first)
    if invocation.json:
        speech.document(ended)
    return next((status for status in map(status_of, ended) if status), 0)


def _say_it_may_run_again(spawn: Shown) -> None:
    """An end is not the last one where another attempt was asked for and its machine has not heard of that."""
    again = [each["verb"] for each in spawn.get("asked", ()) if each["verb"] in ONCE_MORE and each["error"] is None]
    if again and has_ended(spawn):
        where = clean(spawn["broker"]["name"])
        speech.note(f"{title(spawn)}: {where} has not answered the {again[-1]} yet; this is the end before it")


def _seconds(text: str) -> float:
    from relay.api.durations import parse

    return parse(text)


def _teller(invocation: Invocation) -> awaiting.Tell:
    def tell(spawn: Spawn) -> None:
        if spawn["state"] != "completed":
            say_failure(spawn, invocation.home)
            return
        took = ages.between(spawn["started"], spawn["ended"])
        speech.say(outcome(spawn) + (f" ({took})" if took else ""))

    return tell


def _too_late(invocation: Invocation, awaited: awaiting.Awaited, timeout: str, first: bool) -> int:
    fault = _fault(invocation, awaited, timeout, first)
    if invocation.json:
        speech.document({"error": fault.to_json(), "spawns": awaited.in_order})
    else:
        speech.error(fault)
    return FAILED


def _fault(invocation: Invocation, awaited: awaiting.Awaited, timeout: str, first: bool) -> Unreachable:
    from relay.core.errors import Code, Unreachable

    going = awaited.going
    named = ", ".join(f"{title(each)} ({standing(each)})" for each in going[: awaiting.SHOWN])
    more = f" and {len(going) - awaiting.SHOWN} more" if len(going) > awaiting.SHOWN else ""
    return Unreachable(
        f"not all have ended within {timeout}" if awaited.ended else f"none has ended within {timeout}",
        code=Code.WAIT_TIMEOUT,
        why=f"{named}{more}: left as they are" if len(going) > 1 else f"{named}: left as it is",
        hint=_again(invocation, going, first),
    )


def _again(invocation: Invocation, going: list[Spawn], first: bool) -> str:
    return invocation.home.command(f"wait {' '.join(map(ref, going))}{' --any' if first and len(going) > 1 else ''}")


def _go_on(invocation: Invocation, awaited: awaiting.Awaited, first: bool) -> None:
    going = awaited.going
    if len(going) == 1:
        awaiting.say_it_goes_on(going[0], invocation.home)
        return
    speech.note(f"\n{len(going)} are left as they are: {', '.join(map(title, going[: awaiting.SHOWN]))}")
    speech.note(f"go on: {_again(invocation, going, first)}")

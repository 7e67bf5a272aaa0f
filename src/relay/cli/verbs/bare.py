"""Bare `relay`: the next commands where nothing is set up, else what happened since one last looked."""

from __future__ import annotations

import json
import os
import time

from relay.api import routes
from relay.api.home import keep_owner
from relay.cli import speech
from relay.cli.clean import brief, clean
from relay.cli.spawn_lines import never_ran, outcome, ref, title

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.home import Home
    from relay.api.shapes import Spawn
    from relay.api.view_shapes import Away
    from relay.cli.invocation import Invocation

MOST, MOST_TOLD = 200, 10  # MOST: the broker tells no more
BADLY = frozenset({"failed", "timed_out", "lost", "rejected", "expired"})
UNRUN = frozenset({"rejected", "expired"})
FIRST_STEPS = (
    ("demo", "see it work in seconds, on this machine alone"),
    ("init", "set up this machine, then: {up}"),
    ("join", "or enter the workspace of another machine"),
    ("--help", "all verbs"),
)


def run(invocation: Invocation) -> int:
    """Say what there is to know now."""
    home = invocation.home
    if not home.is_set_up:
        return _first_steps(invocation)
    since, seq = _last_look(home)
    now = _now()  # before the question: what ends meanwhile is told next time rather than never
    found = invocation.client().ask(routes.away(seq, _milliseconds(since)))
    if invocation.json:
        told = {"since": since or None, "needs_you": found["needs_you"], "ended": found["ended"]}
        speech.document({**told, "going_on": found["going_on"], "unreachable": found.get("unreachable", 0)})
    else:
        _say(home, found, since)
    try:
        _remember(home, now, found["seq"])
    except OSError as fault:
        speech.note(f"that you looked cannot be written down ({fault.strerror}): the same is told again next time")
    return 0


def _first_steps(invocation: Invocation) -> int:
    if invocation.json:
        speech.document({"set_up": False, "home": invocation.home.path})
        return 0
    speech.say("relay is not set up on this machine yet.")
    home = invocation.home
    width = max(len(home.command(words)) for words, _ in FIRST_STEPS)
    for words, about in FIRST_STEPS:
        speech.say(f"  {home.command(words):<{width}}  {about.format(up=home.command('up --detach'))}")
    return 0


def _say(home: Home, found: Away, since: str) -> None:
    ended = found["ended"]
    badly = [each for each in ended if each["state"] in BADLY]
    others = [each for each in ended if each["state"] not in BADLY]
    for spawn in found["needs_you"]:
        _say_needing(home, spawn)
    # what failed is told first, and is never among those that are only counted before what went well is
    for spawn in [*badly, *others][:MOST_TOLD]:
        _say_ended(home, spawn)
    if len(ended) > MOST_TOLD:
        speech.say(f"and {len(ended) - MOST_TOLD}{'' if len(ended) < MOST else ' or'} more: {_listing(home, since)}")
    if not found["needs_you"] and not ended:
        speech.say(f"nothing has ended since you last looked{_ago(since)}" if since else "nothing has ended yet")
    going = found["going_on"]
    unseen = found.get("unreachable", 0)
    away = f" ({unseen} on machines out of reach)" if unseen else ""
    goes_on = f"{going} going on{away}: {home.command('ps')}"
    if going:
        speech.say(goes_on)
    elif not found["needs_you"]:
        speech.say(f"nothing goes on, as far as this broker knows: {home.command('spawn --help')}")


def _say_needing(home: Home, spawn: Spawn) -> None:
    needs = spawn["needs"]
    speech.say(f"{title(spawn)} needs you: {brief(needs['text'] if needs else spawn['reason'])}")
    speech.say(f"  {clean(home.command(f'show {ref(spawn)}'))}    {home.command('review')}")


def _say_ended(home: Home, spawn: Spawn) -> None:
    why = brief(spawn["reason"]) if spawn["state"] in UNRUN else ""
    speech.say(f"{outcome(spawn)}{_ago(spawn['ended'] or spawn['since'])}{f': {why}' if why else ''}")
    speech.say(f"  {clean(home.command(f'{_verb(spawn)} {ref(spawn)}'))}")


def _verb(spawn: Spawn) -> str:
    """What a person wants to see of it: what never ran has written nothing."""
    if spawn["state"] == "completed":
        return "result"
    return "show" if never_ran(spawn) else "logs"


def _listing(home: Home, since: str) -> str:
    return home.command(f"ps --state ended --since {since}" if since else "ps --state ended")


def _ago(text: str) -> str:
    if not text:
        return ""
    from relay.cli import ages

    return f" ({ages.since(text)} ago)"


def _milliseconds(text: str) -> int:
    from relay.api.durations import moment

    return int(moment(text) * 1000) if text else 0


def _now() -> str:
    from relay.api.durations import rfc3339

    return rfc3339(time.time_ns() // 1_000_000)


def _last_look(home: Home) -> tuple[str, int | None]:
    """When somebody last looked, and the number of the last event by then; of an older relay only when."""
    try:
        with open(home.seen, encoding="utf-8") as file:
            seen = json.loads(file.read(4096))
        at, seq = str(seen["at"]), seen.get("seq")
        _milliseconds(at)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "", None
    return at, seq if type(seq) is int and seq >= 0 else None


def _remember(home: Home, at: str, seq: int) -> None:
    temporary = f"{home.seen}.{os.getpid()}"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        keep_owner(descriptor, home.seen)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump({"at": at, "seq": seq}, file)
        os.replace(temporary, home.seen)
    except OSError:
        if os.path.lexists(temporary):
            os.unlink(temporary)
        raise

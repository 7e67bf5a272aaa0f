"""Bare `relay`: the next commands where nothing is set up, else what happened since one last looked."""

from __future__ import annotations

import json
import os
import time

from relay.api import routes
from relay.cli import speech
from relay.cli.clean import brief, clean
from relay.cli.spawn_lines import has_ended, outcome, ref, title
from relay.dashboard.words import NEEDS_A_PERSON, word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.home import Home
    from relay.api.shapes import Spawn
    from relay.cli.invocation import Invocation

MOST, MOST_TOLD = 200, 10
FIRST_STEPS = (
    ("demo", "see it work in seconds, on this machine alone"),
    ("init", "set up this machine, then: relay up --detach"),
    ("join LINK", "or enter the workspace of another machine"),
    ("--help", "all verbs"),
)


def run(invocation: Invocation) -> int:
    """Say what there is to know now."""
    home = invocation.home
    if not home.is_set_up:
        return _first_steps(invocation)
    spawns = invocation.client().ask(routes.spawns(everything=True, limit=MOST))
    since = _last_look(home)
    ended = [each for each in spawns if has_ended(each) and _ended_after(each, since)]
    waiting = [each for each in spawns if each["state"] in NEEDS_A_PERSON]
    going = [each for each in spawns if not has_ended(each) and each not in waiting]
    if invocation.json:
        speech.document({"since": since, "needs_you": waiting, "ended": ended, "going_on": len(going)})
    else:
        _say(home, waiting, ended, len(going))
    _remember(home)
    return 0


def _first_steps(invocation: Invocation) -> int:
    if invocation.json:
        speech.document({"set_up": False, "home": invocation.home.path})
        return 0
    speech.say("relay is not set up on this machine yet.")
    for words, about in FIRST_STEPS:
        speech.say(f"  {invocation.home.command(words):<20}  {about}")
    return 0


def _say(home: Home, waiting: list[Spawn], ended: list[Spawn], going: int) -> None:
    for spawn in waiting:
        needs = spawn["needs"]
        speech.say(f"{title(spawn)} needs you: {brief(needs['text'] if needs else spawn['reason'])}")
        speech.say(f"  {clean(home.command(f'show {ref(spawn)}'))}    {home.command('review')}")
    for spawn in ended[:MOST_TOLD]:
        verb = "result" if spawn["state"] == "completed" else "logs"
        speech.say(f"{outcome(spawn)} ({word(spawn['state'])})")
        speech.say(f"  {clean(home.command(f'{verb} {ref(spawn)}'))}")
    if len(ended) > MOST_TOLD:
        speech.say(f"and {len(ended) - MOST_TOLD} more: {home.command('ps --all')}")
    if not waiting and not ended:
        speech.say("nothing has ended since you last looked")
    speech.say(f"{going} going on: {home.command('ps')}" if going else f"nothing runs: {home.command('spawn --help')}")


def _ended_after(spawn: Spawn, since: str) -> bool:
    # both are RFC 3339 in UTC with milliseconds, so that they sort as text
    return (spawn["ended"] or spawn["since"]) > since


def _last_look(home: Home) -> str:
    try:
        with open(home.seen, encoding="utf-8") as file:
            return str(json.loads(file.read(4096))["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _remember(home: Home) -> None:
    from relay.api.durations import rfc3339

    temporary = f"{home.seen}.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump({"at": rfc3339(time.time_ns() // 1_000_000)}, file)
    os.replace(temporary, home.seen)

"""Waits for a spawn's end, and lets Ctrl-C leave it running."""

from __future__ import annotations

import sys
import time

from relay.api import routes
from relay.cli import speech
from relay.cli.clean import clean
from relay.cli.spawn_lines import has_ended, outcome, ref, standing, title

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from relay.api.home import Home
    from relay.api.routes import Call
    from relay.api.shapes import Spawn
    from relay.cli.patient import PatientClient
    from relay.core.errors import Unreachable

    Answer = TypeVar("Answer")

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 30.0
ANSWER_PAUSE_S = 2.0
BROKER_AWAY_S, AWAY_PAUSE_S = 30.0, 0.2
SOON_S = 1.0
"""How long a broker that was not met before, and that nobody is seen to start, may take to be there: one is started in
half of it."""


class Progress:
    """Tells on stderr how a spawn stands, once a second has passed, and again when that changes.

    Args:
        home: for the commands to go on with.
        is_quiet: tell only that it needs a person.
    """

    def __init__(self, home: Home, is_quiet: bool = False) -> None:
        self._home = home
        self._is_quiet = is_quiet
        self._told = ""
        self._began = time.monotonic()

    def tell(self, spawn: Spawn) -> None:
        """Say how it stands, unless that was said already."""
        if spawn["state"] == "needs_input":
            how = _how_to_answer(spawn, self._home)
            self._say(how, how)
        elif not (self._is_quiet or has_ended(spawn)) and time.monotonic() - self._began >= FIRST_WAIT_S * 0.9:
            reason = clean(spawn["reason"] or (spawn["ack"] if spawn["state"] == "queued" else ""))
            # of what is out of reach the words have an age in them, which is no news
            news = f"{spawn['state']} {reason if spawn.get('in_reach', True) else 'out of reach'}"
            self._say(f"{title(spawn)}: {standing(spawn)}" + (f" ({reason})" if reason else ""), news)

    def _say(self, line: str, news: str) -> None:
        if news != self._told:
            self._told = news
            speech.note(speech.coloured(line, speech.DIM, sys.stderr))


def _how_to_answer(spawn: Spawn, home: Home) -> str:
    needs = spawn["needs"]
    what = clean(needs["text"]) if needs else clean(spawn["reason"])
    look, stop = home.command(f"logs {ref(spawn)} -f"), home.command(f"stop {ref(spawn)}")
    return f"{title(spawn)} needs you: {what}\nlook: {look}    answer: {home.command('review')}    end it: {stop}"


def until_ended(client: PatientClient, spawn: Spawn, *, is_told: bool = True, is_quiet: bool = False) -> Spawn:
    """The spawn once it has ended, however long that takes.

    Args:
        client: asks.
        spawn: as it stands.
        is_told: say on the way how it stands.
        is_quiet: of that only that it needs a person.

    Raises:
        RelayError: the broker of this machine went away and did not come back within half a minute.
    """
    progress = Progress(client.home, is_quiet)
    client.says = ""  # how it stands is told here
    seconds = FIRST_WAIT_S
    while not has_ended(spawn):
        spawn = patiently(client, routes.wait(spawn["id"], seconds))
        if is_told:
            progress.tell(spawn)
        seconds = min(seconds * 2, LONGEST_WAIT_S)
        if spawn["state"] == "needs_input":
            time.sleep(ANSWER_PAUSE_S)  # the broker answers at once while a person is asked
    return spawn


def patiently(client: PatientClient, call: Call[Answer], until: float | None = None) -> Answer:
    """The answer to a call that may be asked twice; a broker that restarts meanwhile is waited for.

    Args:
        client: asks.
        call: what.
        until: when it is of no use any more, monotonic seconds; None for never.

    Raises:
        RelayError: what the broker answered; or it went away and was not back within half a minute.
    """
    while True:
        try:
            return client.ask(call)
        except Exception as fault:
            from relay.core.errors import Unreachable

            if not isinstance(fault, Unreachable):
                raise
            _until_back(client, fault, until)


def at_first(client: PatientClient, call: Call[Answer], until: float | None = None) -> Answer:
    """As `patiently`, of a broker that was not met before: one that runs not, and is not being started, is said soon.

    Raises:
        RelayError: what the broker answered, or why there is no answer.
    """
    try:
        return client.ask(call)
    except Exception as fault:
        from relay.core.errors import Code, Unreachable

        if not isinstance(fault, Unreachable) or fault.code is not Code.NOT_RUNNING:
            raise
        _until_there(client, fault, until)
    return patiently(client, call, until)


def _until_there(client: PatientClient, fault: Unreachable, until: float | None) -> None:
    from relay.api.service import installed
    from relay.api.silence import is_held

    began, told = time.monotonic(), False
    while True:
        time.sleep(AWAY_PAUSE_S)
        try:
            client.ask(routes.status())
            return
        except type(fault):
            now = time.monotonic()
        is_expected = is_held(client.home) or installed.find(client.home) is not None
        if now > began + (BROKER_AWAY_S if is_expected else SOON_S) or (until is not None and now > until):
            raise fault
        if is_expected and not told:
            told = True
            speech.note("the broker of this machine is not running; waiting for it to be back")


def _until_back(client: PatientClient, fault: Unreachable, until: float | None) -> None:
    """A broker may be restarted under its tasks: look for it again for a while."""
    from relay.core.errors import Code, Unreachable

    what = "does not answer" if fault.code is Code.TIMED_OUT else "went away"
    speech.note(f"the broker of this machine {what}; what it runs goes on; waiting for it to be back")
    longest = time.monotonic() + BROKER_AWAY_S
    while time.monotonic() < (longest if until is None else min(longest, until)):
        time.sleep(AWAY_PAUSE_S)
        try:
            client.ask(routes.status())
            return
        except Unreachable:
            continue
    raise fault


def say_it_goes_on(spawn: Spawn, home: Home, back: str = "wait") -> None:
    """After Ctrl-C: the spawn is not touched, and this is how to come back to it, by the verb `back` or otherwise."""
    name = ref(spawn)
    if has_ended(spawn):  # meanwhile: there is nothing to go on with
        speech.note(f"\n{outcome(spawn)}: {home.command(f'show {name}')}")
        return
    speech.note(f"\n{title(spawn)} is left as it is: {standing(spawn)}")
    speech.note(f"go on: {home.command(f'{back} {name}')}    {home.command(f'logs {name} -f')}")
    speech.note(f"end it: {home.command(f'stop {name}')}")


def say_it_is_left(
    client: PatientClient, spawn: str, home: Home, back: str = "wait", patience_s: float | None = None
) -> None:
    """After Ctrl-C or the detach key: as `say_it_goes_on`, and no error where this machine's broker is away just now.

    Args:
        client: asks how it stands.
        spawn: which, as a person may name it.
        home: the broker's.
        back: the verb that comes back to it.
        patience_s: how long the answer may take.
    """
    from relay.core.errors import Unreachable

    try:
        found = client.ask(routes.show(spawn, patience_s))
    except Unreachable as fault:
        speech.note(f"\n{clean(spawn)} is left as it is; {fault.message} ({fault.hint})")
        speech.note(f"go on then: {home.command(f'logs {clean(spawn)} -f')}")
    else:
        say_it_goes_on(found, home, back)

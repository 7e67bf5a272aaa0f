"""`relay config get`, `set` and `list`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from relay.api import settings
from relay.api.durations import typed
from relay.cli import speech, stopping
from relay.cli.clean import clean

if TYPE_CHECKING:
    from relay.cli.invocation import Invocation


def get(invocation: Invocation, *, key: str) -> int:
    """Print one setting."""
    value = settings.get(invocation.home, key)
    if invocation.json:
        speech.document(value)
    else:
        speech.say(shown(value))
    return 0


def change(invocation: Invocation, *, key: str, value: list[str]) -> int:
    """Change one setting."""
    if not invocation.home.is_set_up:
        from relay.api.client import not_set_up

        raise not_set_up(invocation.home)
    new = settings.set_value(invocation.home, key, value)
    if invocation.json:
        speech.document({key: new})
    else:
        speech.say(f"{key} = {shown(new)}")
        _say_when_it_holds(invocation, key)
    return 0


def _say_when_it_holds(invocation: Invocation, key: str) -> None:
    from relay.api.service import installed

    if not stopping.is_running(invocation.home):
        speech.note("it holds from the next start of the broker")
        return
    # the service's own verb starts its broker anew; `up` would take it out of the service's hands
    again = "service install" if installed.find(invocation.home) else "up --detach"
    first = "" if again == "service install" else f"{invocation.home.command('down')} && "
    speech.note(f"the broker that runs keeps the old {key} until it is started anew:")
    speech.note(f"try:   {first}{invocation.home.command(again)}")


def listing(invocation: Invocation) -> int:
    """Print every setting."""
    values = settings.shown(invocation.home)
    if invocation.json:
        speech.document(values)
    else:
        for key, value in values.items():
            speech.say(f"{key} = {shown(value)}")
    return 0


def shown(value: object) -> str:
    """A setting's value as it is typed: durations with their unit, lists with commas."""
    if value is None:
        return "none"
    if isinstance(value, float):
        return typed(value)
    if isinstance(value, tuple | list):
        return ",".join(clean(str(each)) for each in value)
    return clean(value) if isinstance(value, str) else json.dumps(value)

"""`relay config get`, `set` and `list`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from relay.api import config, routes, settings, sizes
from relay.api.durations import typed
from relay.cli import members, speech, stopping
from relay.cli.clean import clean
from relay.core.errors import Code, Misuse, RelayError

if TYPE_CHECKING:
    from relay.cli.invocation import Invocation


def get(invocation: Invocation, *, key: str) -> int:
    """Print one setting."""
    value = settings.get(invocation.home, key)
    if invocation.json:
        speech.document(value)
    else:
        speech.say(shown(key, value))
    table, _, inner = key.partition(".")
    held = _held(invocation)
    if table in held:
        inside = held[table]
        _say_what_holds(key, value, inside.get(inner) if inner and isinstance(inside, dict) else inside)
    return 0


def _held(invocation: Invocation) -> dict[str, object]:
    """The settings of the broker that runs; none where none does, or it is of a version that does not tell."""
    try:
        with invocation.client() as client:
            return client.ask(routes.settings())
    except RelayError:
        return {}


def _say_what_holds(key: str, value: object, held: object) -> None:
    if json.loads(json.dumps(value)) != held:
        speech.note(f"the broker that runs holds {key} = {shown(key, held)} until it is started again")


def change(invocation: Invocation, *, key: str, value: list[str]) -> int:
    """Change one setting."""
    if not invocation.home.is_set_up:
        from relay.api.client import not_set_up

        raise not_set_up(invocation.home)
    members.require_person(invocation.home)
    new = settings.set_value(invocation.home, key, value)
    if invocation.json:
        speech.document({key: new})
    else:
        speech.say(f"{key} = {shown(key, new)}")
        if key == "listen" and not new:
            speech.note("without an address it listens on loopback and, where there is one, on the Tailscale address")
        _say_when_it_holds(invocation, key)
        _say_whose(invocation, key)
    return 0


def _say_whose(invocation: Invocation, key: str) -> None:
    """That nobody is called so whose addresses were written down: a slip of the pen would never be noticed."""
    table, _, name = key.partition(".")
    if table != config.PEERS or not name:
        return
    try:
        with invocation.client() as client:
            meant = client.ask(routes.broker(name))
    except Misuse as fault:
        is_nobody = fault.code == Code.UNKNOWN_BROKER
    except RelayError:
        return  # no broker runs that could tell
    else:
        # the beginning of an id finds a broker too, and is not what it is called
        is_nobody = name not in (meant["name"], meant["roster_name"])
    if is_nobody:
        speech.note(f"no member is called {clean(name)} now; these addresses are of use once one is")


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
            speech.say(f"{key} = {shown(key, value)}")
    for key, held in _held(invocation).items():
        _say_what_holds(key, values.get(key, {} if key in config.TABLES else None), held)
    return 0


def shown(key: str, value: object) -> str:
    """A setting's value as it is typed: durations and sizes with their unit, lists with commas."""
    if value is None:
        return "none"
    if key in config.SIZES and isinstance(value, int):
        return sizes.typed(value)
    if isinstance(value, float):
        return typed(value)
    if isinstance(value, tuple | list):
        return ",".join(clean(str(each)) for each in value)
    return clean(value) if isinstance(value, str) else json.dumps(value)

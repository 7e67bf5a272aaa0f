"""`relay identity`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from relay.api import config, routes
from relay.api.client import Client, not_set_up
from relay.cli import naming, speech
from relay.core import ids
from relay.trust.identity import load_identity

if TYPE_CHECKING:
    from relay.cli.invocation import Invocation


def show(invocation: Invocation) -> int:
    """Print the id."""
    home = invocation.home
    if not home.is_set_up:
        raise not_set_up(home)
    broker = load_identity(Path(home.identity_key)).id
    called = naming.chosen(config.load(home).name)
    if invocation.json:
        speech.document({"id": broker, "name": called, "grouped": ids.grouped(broker)})
    else:
        speech.say(f"{called}  {ids.grouped(broker)}")
    return 0


def keep(invocation: Invocation) -> int:
    """Let the running broker take work in again."""
    with Client(invocation.home) as client:
        answer = client.ask(routes.identity_keep())
    if invocation.json:
        speech.document(answer)
    elif answer.get("was_stopped"):
        speech.say("this machine counts as the real one; work is taken in again")
        speech.note("brokers that saw the older copy have frozen its grant: on each, relay trust allow NAME")
    else:
        speech.say("nothing was stopped: no broker has seen a later start of this one")
    return 0

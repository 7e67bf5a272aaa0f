"""`relay tools hide` and `tools unhide`."""

from __future__ import annotations

from relay.api import tool_routes
from relay.cli import speech
from relay.cli.blanks import refuse_blank
from relay.cli.clean import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.cli.invocation import Invocation


def hide(invocation: Invocation, *, name: str, broker: str | None) -> int:
    """Show a tool to no client of this machine."""
    refuse_blank(broker=broker)
    found = invocation.client().ask(tool_routes.hide(name, broker))
    if invocation.json:
        speech.document(found)
    else:
        speech.say(clean(f"No client of this machine sees {_named(name, broker)}."))
        speech.note(clean(f"to show it again: {invocation.home.command(_words('unhide', name, broker))}"))
    return 0


def unhide(invocation: Invocation, *, name: str, broker: str | None) -> int:
    """Show it again."""
    refuse_blank(broker=broker)
    found = invocation.client().ask(tool_routes.unhide(name, broker))
    if invocation.json:
        speech.document(found)
    else:
        speech.say(clean(f"Clients of this machine see {_named(name, broker)} again, where it is offered."))
    return 0


def _named(name: str, broker: str | None) -> str:
    return f"{name} of {broker}" if broker else name


def _words(verb: str, name: str, broker: str | None) -> str:
    return f"tools {verb} {name}" + (f" --broker {broker}" if broker else "")

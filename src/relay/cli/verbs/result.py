"""`relay result`."""

from __future__ import annotations

from relay.api import routes
from relay.cli import speech
from relay.cli.spawn_lines import has_ended, print_result, ref, say_failure, say_notes, status_of, title
from relay.dashboard.words import word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.cli.invocation import Invocation


def run(invocation: Invocation, *, spawn: str) -> int:
    """Print what a spawn came to; its exit status is the spawn's."""
    found = invocation.client().ask(routes.show(spawn))
    if invocation.json:
        speech.document(found)
    elif has_ended(found):
        print_result(found)
        say_notes(found)
        if found["state"] != "completed":
            say_failure(found, invocation.home)
    else:
        command = invocation.home.command(f"wait {ref(found)}")
        speech.note(f"{title(found)} has not ended: {word(found['state'])}\ntry:   {command}")
    return status_of(found) if has_ended(found) else 1

"""`relay stop`."""

from __future__ import annotations

from relay.api import routes
from relay.cli import speech
from relay.cli.clean import clean
from relay.cli.spawn_lines import has_ended, outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.cli.invocation import Invocation


def run(invocation: Invocation, *, spawn: str) -> int:
    """Ask for the end of a spawn; answered as soon as that is durable."""
    stopped = invocation.client().ask(routes.stop(spawn))
    if invocation.json:
        speech.document(stopped)
    else:
        speech.say(clean(outcome(stopped) if has_ended(stopped) else stopped["ack"]))
    return 0

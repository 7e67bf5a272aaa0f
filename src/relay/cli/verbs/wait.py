"""`relay wait`."""

from __future__ import annotations

from relay.api import routes
from relay.cli import ages, speech, waiting
from relay.cli.spawn_lines import outcome, say_failure, status_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.shapes import Spawn
    from relay.cli.invocation import Invocation

INTERRUPTED = 130


def run(invocation: Invocation, *, spawns: list[str]) -> int:
    """Wait for all of them; the first status that is not 0 counts."""
    client = invocation.client()
    found = [client.ask(routes.show(ref)) for ref in spawns]
    ended = []
    for spawn in found:
        try:
            ended.append(waiting.until_ended(client, spawn))
        except KeyboardInterrupt:
            waiting.say_it_goes_on(spawn, invocation.home)
            return INTERRUPTED
        if not invocation.json:
            _tell(invocation, ended[-1])
    if invocation.json:
        speech.document(ended)
    return next((status for status in map(status_of, ended) if status), 0)


def _tell(invocation: Invocation, spawn: Spawn) -> None:
    if spawn["state"] != "completed":
        say_failure(spawn, invocation.home)
        return
    took = ages.between(spawn["started"], spawn["ended"])
    speech.say(outcome(spawn) + (f" ({took})" if took else ""))

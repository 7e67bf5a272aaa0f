"""`relay invite`."""

from __future__ import annotations

from relay.api import routes
from relay.api.durations import parse
from relay.cli import ages, speech
from relay.core.errors import Misuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.cli.invocation import Invocation


def run(invocation: Invocation, *, link: bool, ttl: str | None) -> int:
    """Make a link that lets one machine in, once."""
    if not link:
        raise Misuse("say how to invite", why="this version invites by link", hint="relay invite --link")
    made = invocation.client().ask(routes.invite(parse(ttl) if ttl else None))
    if invocation.json:
        speech.document(made)
        return 0
    speech.say(made["link"])
    speech.note(f"It works once, for {ages.ahead(made['expires'])}. Type on the machine that is to join:")
    speech.note(f"  relay join '{made['link']}'")
    speech.note("It gives membership only. To run work there, that machine must allow it:")
    speech.note("  relay trust allow BROKER --profile runner --dir FOLDER")
    return 0

"""`relay resolve`."""

from __future__ import annotations

from relay.api import person_routes
from relay.api.person import person
from relay.cli import speech
from relay.cli.clean import clean
from relay.cli.spawn_lines import title

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.cli.invocation import Invocation

WORDS = ("done", "failed", "pending")


def run(invocation: Invocation, *, words: list[str], notes: str | None) -> int:
    """Say what ends come to."""
    *spawns, word = words
    if not spawns or word not in WORDS:
        from relay.core.errors import Misuse

        raise Misuse(
            "what do they come to?" if word not in WORDS else f"which spawns are {word}?",
            why=f"the spawns, or all, stand before one of {', '.join(WORDS)}",
            hint="relay resolve ID done, or relay resolve all done",
        )
    changed = invocation.client().ask(person_routes.resolve(spawns, word, notes or "", person()))
    if invocation.json:
        speech.document(changed)
        return 0
    for spawn in changed:
        speech.say(clean(f"{title(spawn)}: {word}"))
    if not changed:
        speech.note("there is none to resolve")
    return 0

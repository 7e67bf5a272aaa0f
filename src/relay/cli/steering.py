"""What `pause`, `resume`, `edit` and `retry` say when they were answered."""

from __future__ import annotations

from relay.cli import speech
from relay.cli.clean import clean
from relay.cli.spawn_lines import title

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.queue_shapes import SteeredSpawn
    from relay.cli.invocation import Invocation


def tell(invocation: Invocation, spawn: SteeredSpawn, done: str) -> int:
    """Print what became of it.

    Args:
        invocation: how relay was called.
        spawn: the answer.
        done: what it is then, in words.
    """
    if invocation.json:
        speech.document(spawn)
        return 0
    steer = spawn["steer"]
    if steer["state"] == "done":
        speech.say(clean(f"{title(spawn)} {done}. {spawn['ack']}"))
    else:
        broker = steer["broker"]["name"]
        speech.say(clean(f"Asked of {broker}, which has not answered yet: {steer['verb']} {spawn['name']}."))
        speech.note(f"what it says: {invocation.home.command('show ' + spawn['id'][:8])}")
    return 0

"""`relay failures`."""

from __future__ import annotations

from relay.api import person_routes
from relay.cli import ages, speech
from relay.cli.clean import brief, clean
from relay.cli.hints import for_home
from relay.cli.spawn_lines import outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.home import Home
    from relay.api.person_shapes import Failure
    from relay.cli.invocation import Invocation

SHORT = 8


def run(invocation: Invocation) -> int:
    """Say what ended badly, and what to do next."""
    found = invocation.client().ask(person_routes.failures())
    if invocation.json:
        speech.document(found)
        return 0
    for failure in found:
        _say(failure, invocation.home)
    if not found:
        speech.note("nothing ended badly that nobody has looked at")
    return 0


def _say(failure: Failure, home: Home) -> None:
    spawn = failure["id"][:SHORT]
    ended = ages.since(failure["ended"] or failure["since"])
    speech.say(speech.coloured(clean(f"{outcome(failure)}, {ended} ago"), speech.RED))
    reason = failure["error"]["message"] if failure["error"] else failure["reason"]
    if reason:
        speech.say(f"  {brief(reason, 300)}")
    for line in failure["tail"]:
        speech.say(f"  | {brief(line, 200)}")
    speech.say(f"  next: {clean(for_home(failure['next'], home))}")
    speech.say(f"  then: {home.command(f'resolve {spawn} done')}")
    speech.say()

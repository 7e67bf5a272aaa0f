"""`relay queue`, `queue pause`, `queue resume`."""

from __future__ import annotations

from relay.api import queue_routes, routes
from relay.cli import ages, speech
from relay.cli.blanks import refuse_blank
from relay.cli.clean import clean
from relay.cli.spawn_lines import say_what_is_missing, show_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.queue_shapes import Steer
    from relay.cli.invocation import Invocation


def run(invocation: Invocation, *, status: list[str]) -> int:
    """List the tasks that have not ended, or those of them that stand so."""
    refuse_blank(status=status)
    client = invocation.client()
    wanted: dict[str, object] = {"states": ",".join(status) or None, "all": True, "unfinished": True, "around": True}
    found = client.ask(routes.listing(wanted))
    say_what_is_missing(found)
    spawns = found["spawns"]
    if invocation.json:
        speech.document(spawns)
        return 0
    nothing = f"nothing in the queue is {' or '.join(status)}: {invocation.home.command('queue')}"
    show_table(spawns, clean(nothing) if status else "the queue is empty")
    paused = client.ask(routes.status()).get("queue", {}).get("paused")
    if paused:
        since, command = ages.when(paused["at"]), invocation.home.command("queue resume")
        speech.note(clean(f"the queue of this machine is paused by {paused['by']} since {since}: {command}"))
    return 0


def pause(invocation: Invocation, *, broker: str | None) -> int:
    """Let nothing start on a broker."""
    done = "is paused; what runs goes on"
    return _tell(invocation, invocation.client().ask(queue_routes.pause_queue(broker)), done)


def resume(invocation: Invocation, *, broker: str | None) -> int:
    """Let it go on."""
    return _tell(invocation, invocation.client().ask(queue_routes.resume_queue(broker)), "goes on")


def _tell(invocation: Invocation, steer: Steer, done: str) -> int:
    if invocation.json:
        speech.document(steer)
    elif steer["state"] == "done":
        speech.say(clean(f"The queue of {steer['broker']['name']} {done}."))
    else:
        speech.say(clean(f"Asked of {steer['broker']['name']}, which has not answered yet."))
    return 0

"""`attach --take`: a running turn is ended, and the agent opened in its own interface, in the same session."""

from __future__ import annotations

from relay.api import queue_routes, routes
from relay.cli import speech
from relay.cli.spawn_lines import ref, title
from relay.cli.waiting import until_ended
from relay.core.errors import Misuse, RelayError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.shapes import Spawn
    from relay.cli.invocation import Invocation


def take(invocation: Invocation, spawn: Spawn, view: bool, is_terminal: bool) -> Spawn:
    """The spawn with its agent's interface about to open.

    Raises:
        RelayError: it cannot be taken over; nothing was ended then, or it was said.
    """
    _refuse_what_makes_no_sense(spawn, view, is_terminal)
    client = invocation.client()
    try:
        taken = client.ask(queue_routes.take(spawn["id"]))
    except RelayError as fault:
        if fault.code != "not_ended":
            raise
        speech.note(f"[relay] {title(spawn)}: its turn is ended, so that you can take it over")
        client.ask(routes.stop(spawn["id"]))
        until_ended(client, client.ask(routes.show(spawn["id"])), is_told=False)
        taken = client.ask(queue_routes.take(spawn["id"]))
    return taken


def _refuse_what_makes_no_sense(spawn: Spawn, view: bool, is_terminal: bool) -> None:
    if view:
        raise Misuse("--take and --view exclude each other", why="who takes it over drives it", hint="leave one out")
    if not is_terminal:
        hint = f'relay continue {ref(spawn)} "what to do now"'
        raise Misuse("there is no terminal here to take it over on", why="the agent's interface needs one", hint=hint)

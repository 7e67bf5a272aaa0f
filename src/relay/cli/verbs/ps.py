"""`relay ps`."""

from __future__ import annotations

from relay.api import routes
from relay.cli import filtering, speech
from relay.cli.spawn_lines import say_what_is_missing, show_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from relay.cli.invocation import Invocation


def run(invocation: Invocation, *, watch: bool, **request: Any) -> int:
    """List spawns, newest first unless it is said otherwise."""
    filters = filtering.filters(request)
    if watch:
        from relay.cli.watching.view import show

        return show(invocation, filters)
    found = invocation.client().ask(routes.listing(filters))
    say_what_is_missing(found)
    if invocation.json:
        speech.document(found["spawns"])
        return 0
    show_table(found["spawns"], _nothing(invocation, request))
    return 0


def _nothing(invocation: Invocation, request: dict[str, Any]) -> str:
    if not filtering.is_narrowed(request):
        return f"nothing runs or waits; run something: {invocation.home.command('spawn --help')}"
    if request["everything"] or request["state"] or request["since"]:
        return "nothing matches"
    return "nothing matches of what lives and what has ended last; --all looks through everything"


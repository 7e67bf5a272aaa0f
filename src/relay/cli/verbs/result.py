"""`relay result`."""

from __future__ import annotations

from relay.api import routes
from relay.api.sizes import spoken
from relay.cli import giving_back, phases, speech
from relay.cli.blanks import refuse_blank
from relay.cli.spawn_lines import has_ended, print_result, ref, say_failure, say_notes, standing, status_of, title

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.shapes import Spawn
    from relay.cli.invocation import Invocation


def run(invocation: Invocation, *, spawn: str, files: str | None, force: bool) -> int:
    """Print what a spawn came to, or write its files; its exit status is the spawn's."""
    refuse_blank(files=files)
    client = invocation.client()
    found = client.ask(routes.show(spawn))
    if files is not None:
        giving_back.write(invocation, client, found, files, force)
        found = client.ask(routes.show(found["id"]))
    if invocation.json:
        speech.document(found)
    elif has_ended(found):
        if files is None:
            print_result(found)
            _say_beside(invocation, found)
        if found["state"] != "completed":
            say_failure(found, invocation.home)
    else:
        command = invocation.home.command(f"wait {ref(found)}")
        speech.note(f"{title(found)} has not ended: {standing(found)}\ntry:   {command}")
    return status_of(found) if has_ended(found) else 1


def _say_beside(invocation: Invocation, found: Spawn) -> None:
    """Say on stderr what belongs to it beside its text."""
    before = found["result"].get("output_before_bytes", 0) if found["result"] else 0
    if before:
        whole = invocation.home.command(f"logs {ref(found)}")
        speech.note(f"note:  only the end of its output is kept with its result; {spoken(before)} before it: {whole}")
    say_notes(found, invocation.home)
    for name, text in phases.lines(found):
        if text:
            speech.note(f"{name + ':':6} {text}")
    giving_back.say_files(found, invocation)

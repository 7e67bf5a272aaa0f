"""`relay spawn`."""

from __future__ import annotations

from relay.api import routes
from relay.cli import ordering, places, speech, staying
from relay.cli.clean import clean
from relay.cli.spawn_lines import has_ended, ref, title
from relay.cli.verbs import schedule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from relay.api.shapes import Spawn, SpawnOrder
    from relay.cli.invocation import Invocation
    from relay.cli.patient import PatientClient

INTERRUPTED = staying.INTERRUPTED


def run(
    invocation: Invocation, *, words: list[str], wait: bool, follow: bool, dry_run: bool, **request: Any
) -> int:
    """Ask for a spawn; with --wait or --follow stay until it has ended; with --dry-run ask what would become of it."""
    try:
        came = _ask(invocation, words, wait or follow, dry_run, request)
    except Exception as fault:
        if not wait and not follow:
            raise
        return staying.not_run(invocation, fault)
    if isinstance(came, int):
        return came
    client, spawn = came
    if wait or follow:
        return staying.stay(invocation, client, spawn, follow)
    return _acknowledge(invocation, spawn, "attach {}" if request["tty"] or request["stdin"] else "logs {} -f")


def _ask(
    invocation: Invocation, words: list[str], waits: bool, dry_run: bool, request: dict[str, Any]
) -> int | tuple[PatientClient, Spawn]:
    if ordering.reads_stdin(words):
        speech.note("reading the task from the keyboard; end it with Ctrl-D")
    asked = {name: request.pop(name) for name in ("repo", "here", "push", "push_to")}
    asked |= {name: request[name] for name in ("cwd", "broker", "every")}
    ordering.refuse_passed(request["at"], request["idempotency_key"])
    request["idempotency_key"], name = ordering.named(request["name"], request["agent"], request["idempotency_key"])
    with places.place(invocation.home, **asked, name=name, keep=not dry_run, quiet=invocation.json) as place:
        order = ordering.order(words=words, place=place.words, **request)
        if dry_run:
            return _try(invocation, order, waits)
        client = invocation.client()
        if order["every"] is not None:
            return schedule.make(invocation, order, waits=waits)
        try:
            place.answered(spawn := client.ask(routes.spawn(order)))
        except KeyboardInterrupt:
            speech.note(f"\nit may have been accepted: {invocation.home.command('ps')}")
            return INTERRUPTED
    return client, spawn


def _try(invocation: Invocation, order: SpawnOrder, waits: bool) -> int:
    from relay.cli import dry_run
    from relay.core.errors import Misuse

    if waits:
        raise Misuse("--dry-run starts nothing", why="there is no end to wait for", hint="--dry-run alone, or --wait")
    return dry_run.run(invocation, order)


def _acknowledge(invocation: Invocation, spawn: Spawn, look: str) -> int:
    if invocation.json:
        speech.document(spawn)
    elif not has_ended(spawn):
        speech.say(clean(spawn["ack"]))
        command = invocation.home.command(look.format(ref(spawn)))
        speech.note(f"{title(spawn)}, id {spawn['id']}: {command}")
    return staying.finish(invocation, spawn, spawn["state"] != "completed") if has_ended(spawn) else 0

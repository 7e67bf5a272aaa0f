"""`relay schedule list`, `schedule remove`."""

from __future__ import annotations

from relay.api import queue_routes
from relay.cli import ages, speech, table
from relay.cli.clean import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.queue_shapes import Schedule
    from relay.api.shapes import SpawnOrder
    from relay.cli.invocation import Invocation

HEADINGS = ("NAME", "ID", "BROKER", "EVERY", "NEXT", "LAST", "RUNS", "WHAT")
FIRST_TO_GO = ("LAST", "RUNS", "ID", "BROKER", "EVERY")


def make(invocation: Invocation, order: SpawnOrder, waits: bool) -> int:
    """Have an order run again and again.

    Raises:
        Misuse: there is no end to wait for.
    """
    if waits:
        from relay.core.errors import Misuse

        why = "it runs again and again, so that it has no end"
        raise Misuse("a schedule cannot be waited for", why=why, hint="leave --wait and --follow out")
    if order.get("notify"):
        from relay.core.errors import Misuse

        why = "--notify is for one spawn; a schedule's runs are told of by the rules of a channel"
        hint = "relay notify add NAME --label KEY=VALUE, and --label KEY=VALUE here"
        raise Misuse("--notify does not go with --every", why=why, hint=hint)
    made = invocation.client().ask(queue_routes.schedule(order))
    if invocation.json:
        speech.document(made)
    elif made["state"] == "asked":
        speech.say(clean(f"Asked of {made['broker']['name']}, which has not answered yet: {made['name']}."))
    elif made["state"] in ("removed", "refused"):
        speech.say(clean(f"{made['name']}, which this key has made, runs on {made['broker']['name']} no more."))
    else:
        following = f", next {ages.when(made['next'])}" if made["next"] else ""
        every = f"by {made['every']!r}" if " " in made["every"] else f"every {made['every']}"
        speech.say(clean(f"{made['name']} runs on {made['broker']['name']} {every}{following}."))
    if not invocation.json:
        speech.note(f"id {made['id']}: {invocation.home.command('schedule list')}")
    return 0


def show(invocation: Invocation, *, everything: bool) -> int:
    """List what runs again and again."""
    schedules = invocation.client().ask(queue_routes.schedules(everything))
    if invocation.json:
        speech.document(schedules)
    else:
        table.show(HEADINGS, [_row(each) for each in schedules], "nothing is scheduled", FIRST_TO_GO)
    return 0


def remove(invocation: Invocation, *, schedule: str) -> int:
    """Have a schedule run no more; what runs goes on."""
    removed = invocation.client().ask(queue_routes.remove_schedule(schedule))
    if invocation.json:
        speech.document(removed)
    elif removed["state"] in ("asked", "active"):
        name, broker = removed["name"], removed["broker"]["name"]
        speech.say(clean(f"Asked of {broker}, which has not answered yet: {name} is removed when it hears of it."))
        speech.note(f"what it says: {invocation.home.command('schedule list')}")
    else:
        speech.say(clean(f"{removed['name']} on {removed['broker']['name']} runs no more; what it began goes on."))
    return 0


def _row(schedule: Schedule) -> list[str]:
    error = schedule["error"]
    what = f"{schedule['state']}: {error['message']}" if error else schedule["task"][:60]
    moment = ages.short_when(schedule["next"]) if schedule["next"] else "?"
    following = moment if schedule["state"] == "active" else schedule["state"]
    runs = f"{schedule['runs']}" + (f" ({schedule['skipped']} skipped)" if schedule["skipped"] else "")
    name, broker = schedule["name"], schedule["broker"]["name"]
    last = ages.short_when(schedule["last"]) if schedule["last"] else "never"
    return [name, schedule["id"][:8], broker, schedule["every"], following, last, runs, what]

"""`relay show`."""

from __future__ import annotations

from relay.api import routes
from relay.cli import ages, course, phases, queue_lines, speech, table
from relay.cli.clean import brief
from relay.cli.spawn_lines import has_ended, is_out_of_reach, outcome, standing
from relay.dashboard.words import word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.shapes import Spawn
    from relay.cli.invocation import Invocation


def run(invocation: Invocation, *, spawn: str) -> int:
    """Show one spawn."""
    found = invocation.client().ask(routes.show(spawn))
    if invocation.json:
        speech.document(found)
    else:
        table.facts([*_what(found), *_how_it_stands(found), *_what_came(found)])
        course.show(found)
    return 0


def _what(spawn: Spawn) -> list[tuple[str, str]]:
    return [
        ("name", spawn["name"]),
        ("id", spawn["id"]),
        ("broker", f"{spawn['broker']['name']} ({spawn['broker']['id'][:8]})"),
        ("asked by", f"{spawn['requested_by']} on {spawn['origin']['name']}, {ages.since(spawn['created'])} ago"),
        ("agent", f"{spawn['agent']} ({spawn['mode']})"),
        ("task", brief(spawn["task"], 200)),
        ("folder", spawn["cwd"] or ""),
        ("labels", " ".join(f"{key}={value}" for key, value in spawn["labels"].items())),
    ]


def _how_it_stands(spawn: Spawn) -> list[tuple[str, str]]:
    needs, truth = spawn["needs"], spawn["truth"]
    return [
        ("state", _state(spawn)),
        ("so", "" if has_ended(spawn) else spawn["ack"]),
        ("why", spawn["reason"]),
        ("attempt", str(spawn["attempt"]) if spawn["attempt"] > 1 else ""),
        *queue_lines.place(spawn),
        *queue_lines.attempts(spawn),
        ("took", "" if is_out_of_reach(spawn) else ages.between(spawn["started"], spawn["ended"])),
        ("needs", needs["text"] if needs else ""),
        ("resolved", _resolved(spawn)),
        ("word of", f"{_named(spawn, truth['from'])}, {ages.since(truth['at'])} ago" if truth else "nobody yet"),
    ]


def _state(spawn: Spawn) -> str:
    if is_out_of_reach(spawn):
        return standing(spawn)
    return f"{word(spawn['state'])} ({spawn['state']}) for {ages.since(spawn['since'])}"


def _named(spawn: Spawn, broker: str) -> str:
    known = {spawn[side]["id"]: spawn[side]["name"] for side in ("broker", "origin")}
    return known.get(broker, broker[:8])


def _resolved(spawn: Spawn) -> str:
    said = spawn["resolved"]
    if said is None:
        return ""
    return f"{said['as']} by {said['by']}, {ages.since(said['at'])} ago{': ' if said['notes'] else ''}{said['notes']}"


def _what_came(spawn: Spawn) -> list[tuple[str, str]]:
    result, error = spawn["result"], spawn["error"]
    return [
        ("ended", outcome(spawn) if has_ended(spawn) or error else ""),
        ("error", f"{error['message']} [{error['code']}]" if error else ""),
        ("try", error["hint"] if error else ""),
        ("summary", brief(result["summary"], 200) if result else ""),
        *phases.lines(spawn),
        ("session", (result.get("session") or "") if result else ""),
    ]

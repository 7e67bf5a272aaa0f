"""How a spawn's place in the queue, and its earlier attempts, read in `relay show`."""

from __future__ import annotations

import time

from relay.api.durations import moment
from relay.cli import ages
from relay.cli.clean import brief
from relay.cli.spawn_lines import has_ended
from relay.dashboard.words import word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from relay.api.queue_marks import After, AskedOf, Tried
    from relay.api.shapes import Spawn

LIMIT = "limit"  # who asked, as in spawn.retries, which the command does not import
Facts = list[tuple[str, str]]


def place(spawn: Spawn) -> Facts:
    """What it was asked to wait for, and who holds it up; an older broker says nothing of it."""
    paused, retries, priority = spawn.get("paused"), spawn.get("retries"), spawn.get("priority")
    return [
        ("priority", str(priority) if priority else ""),
        ("after", ", ".join(map(_predecessor, spawn.get("after", [])))),
        ("not before", _not_before(spawn)),
        ("retries", f"up to {retries}" if retries else ""),
        ("paused", f"by {paused['by'] or 'somebody'}, {ages.since(paused['at'])} ago" if paused else ""),
        ("schedule", spawn.get("schedule") or ""),
    ]


def _not_before(spawn: Spawn) -> str:
    at = spawn.get("not_before")
    if not at or has_ended(spawn):
        return ""
    return ages.when(at) + (f" (in {ages.ahead(at)})" if moment(at) > time.time() else "")


def attempts(spawn: Spawn) -> Facts:
    """The attempts before the present one, and what was asked and not done."""
    tried = [(_which(each), _attempt(each)) for each in spawn.get("attempts", [])]
    return [*tried, *(("asked", _asked(each)) for each in spawn.get("asked", []))]


def _predecessor(after: After) -> str:
    name, state = after.get("name") or after["id"], after.get("state")
    condition = "" if after["condition"] == "success" else ", however it ends"
    return f"{name} ({word(state) if state else 'not here'}{condition})"


def _which(tried: Tried) -> str:
    # what was refused, and then asked for anew, had none
    return f"attempt {tried['attempt']}" if tried["attempt"] else "no attempt"


def _attempt(tried: Tried) -> str:
    code = "" if tried["exit_code"] is None else f", exit code {tried['exit_code']}"
    code += f", signal {tried['signal']}" if tried["signal"] else ""
    reason = f": {brief(tried['reason'])}" if tried["reason"] else ""
    at = f" at {ages.when(tried['ended'])}" if tried["ended"] else ""
    return f"{word(tried['state'])}{code}{at}{reason}; {_again(tried)}"


def _again(tried: Tried) -> str:
    if tried["again"] == "retry":
        return "then a retry"
    if tried["again"] == LIMIT:
        return "then its usage limit was waited for"
    if "task" in tried:
        return f"then {tried['again']} had it go on; its task was: {brief(tried['task'])}"
    return f"then {tried['again']} asked for another"


def _asked(asked: AskedOf) -> str:
    if asked["error"] is None:
        return f"{asked['verb']} at {ages.when(asked['at'])}, not answered yet"
    return f"{asked['verb']} at {ages.when(asked['at'])}, refused: {asked['error']['message']}"

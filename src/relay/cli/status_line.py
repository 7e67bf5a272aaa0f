"""`relay status --short`: one line for prompts. It imports next to nothing, and waits for nobody long."""

from __future__ import annotations

from relay.api import routes
from relay.cli import speech

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from relay.api.shapes import Status
    from relay.cli.invocation import Invocation

PATIENCE_S = 1.0
NOT_RUNNING = 1


def run(invocation: Invocation) -> int:
    """Print the line. Exit status 1 where no broker answers."""
    told = _told(invocation)
    speech.document(told) if invocation.json else speech.say(told["text"])
    return 0 if told["running"] else NOT_RUNNING


def _told(invocation: Invocation) -> dict[str, Any]:
    if not invocation.home.is_set_up:
        return {"running": False, "set_up": False, "text": "relay is not set up"}
    client = invocation.client()
    client.says = ""  # beside a prompt stands this one line
    try:
        found = client.ask(routes.status(PATIENCE_S))
    except Exception as fault:
        return {"running": False, "set_up": True, "text": _why(fault)}
    counts = _counts(found)
    return {"running": True, "set_up": True, **counts, "text": _text(counts)}


def _counts(status: Status) -> dict[str, int]:
    everywhere = status.get("everywhere")
    if everywhere is None:
        return {"working": 0, "unreachable": 0, "needs_you": 0, "queued": 0}
    shown = {"working": everywhere["running"], "unreachable": everywhere.get("unreachable", 0)}
    return {**shown, "needs_you": everywhere["needs_you"], "queued": everywhere["queued"]}


def _text(counts: dict[str, int]) -> str:
    said = [
        f"{counts['working']} running" if counts["working"] else "",
        f"{counts['unreachable']} unreachable" if counts["unreachable"] else "",
        f"{counts['needs_you']} {'needs' if counts['needs_you'] == 1 else 'need'} you" if counts["needs_you"] else "",
        f"{counts['queued']} queued" if counts["queued"] else "",
    ]
    return f"relay {', '.join(part for part in said if part) or 'idle'}"


def _why(fault: Exception) -> str:
    from relay.core.errors import Code, RelayError

    if not isinstance(fault, RelayError):
        raise fault
    return "relay is down" if fault.code is Code.NOT_RUNNING else "relay does not answer"

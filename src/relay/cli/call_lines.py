"""How a call of a tool reads: its title, what it came to, and why it did not."""

from __future__ import annotations

import sys

from relay.cli import speech
from relay.cli.clean import clean, clean_lines
from relay.dashboard.words import ENDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from relay.api.home import Home
    from relay.api.tool_shapes import ToolCall


def title(call: ToolCall) -> str:
    """`read_file on vps`."""
    return f"{clean(call['tool'])} on {clean(call['broker']['name'])}"


def has_ended(call: ToolCall) -> bool:
    """Whether nothing more will happen to it."""
    return call["state"] in ENDED


def status_of(call: ToolCall) -> int:
    """The exit status of a command that waited for this call."""
    from relay.core.states import State, exit_status

    return exit_status(State(call["state"]), None, None)


def print_result(call: ToolCall) -> None:
    """Print on stdout what its tool gave: texts as they are, a line on stderr for what is none."""
    result = call["result"] or {}
    parts = result.get("content")
    texts = [text for part in parts if (text := _text(part)) is not None] if isinstance(parts, list) else []
    if not texts and (structured := result.get("structuredContent")) is not None:
        speech.document(structured)
    for text in texts:
        speech.say((clean_lines(text) if speech.is_terminal(sys.stdout) else text).rstrip("\n"))


def _text(part: Any) -> str | None:
    if not isinstance(part, dict):
        return None
    if isinstance(part.get("text"), str):
        return str(part["text"])
    kind, sort = (clean(str(part.get(key) or "")) for key in ("type", "mimeType"))
    speech.note(f"note:  {' '.join(filter(None, (kind, sort)))}: --json has it")
    return None


def say_failure(call: ToolCall, home: Home) -> None:
    """Say on stderr why a call that has ended is not completed, in the form of an error."""
    from relay.cli.hints import for_home

    error = call["error"]
    why = [error["message"], error["why"]] if error else [call["reason"]]
    said = for_home(error["hint"], home) if error else ""
    hint = said or home.command(f"tools result {call['id']} --json")
    lines = [f"{speech.coloured('error:', speech.RED, sys.stderr)} {title(call)} {_ending(call)}"]
    lines += [f"why:   {clean('. '.join(part.rstrip('.') for part in why if part))}"] if any(why) else []
    speech.note("\n".join([*lines, f"try:   {clean(hint)}"]))


def _ending(call: ToolCall) -> str:
    before = not call["started"]
    endings = {
        "failed": "failed",
        "timed_out": "was ended: its time was over",
        "cancelled": "was stopped before it started; nothing ran" if before else "was stopped",
        "rejected": "was refused; nothing ran",
        "expired": "expired before it could start; nothing ran",
        "lost": "was lost: it may have acted, and nobody knows how it ended",
    }
    return endings.get(call["state"], f"is {call['state']}")

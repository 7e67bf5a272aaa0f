"""The JSON schemas of what the tools take and give."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def text(about: str, **more: Any) -> Schema:
    """A string."""
    return {"type": "string", "description": about, **more}


def number(about: str, least: float, most: float) -> Schema:
    """A number within bounds."""
    return {"type": "number", "description": about, "minimum": least, "maximum": most}


def whole(about: str, least: int, most: int) -> Schema:
    """A whole number within bounds."""
    return {"type": "integer", "description": about, "minimum": least, "maximum": most}


def flag(about: str) -> Schema:
    """True or false."""
    return {"type": "boolean", "description": about}


def maybe(schema: Schema) -> Schema:
    """That, or null."""
    return {**schema, "type": [schema["type"], "null"]}


def many(each: Schema, about: str) -> Schema:
    """A list."""
    return {"type": "array", "items": each, "description": about}


def thing(required: dict[str, Schema], optional: dict[str, Schema] | None = None, *, more: bool = False) -> Schema:
    """An object.

    Args:
        required, optional: its keys.
        more: whether it may have others.
    """
    properties = {**required, **(optional or {})}
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": more}


ID = text("Which agent: its id, the beginning of that, its name, or name@broker.")
BROKER = text("A machine of the mesh, by name or the beginning of its id. Without it: this machine.")
WAIT_S = number("How many seconds to wait for the end before answering; 0 answers at once.", 0, 3600)
STATES = (
    "queued delivered held waiting starting running needs_input completed failed timed_out cancelled rejected expired"
    " lost"
).split()
AGENT = thing(
    {
        "id": text("By which it is asked for later."),
        "name": text("Its name."),
        "broker": text("On which machine."),
        "cli": text("Which agent program, or shell, or exec."),
        "state": text("How it stands.", enum=STATES),
        "ended": flag("Whether nothing more will happen to it."),
        "spoken": text("How it stands in a sentence, for the person: true as it is, and to be said as it is."),
        "next": text("What to do next, or empty."),
    },
    {
        "reason": text("Why it stands so."),
        "truth_at": maybe(text("When its machine said so; null: it has said nothing yet.")),
        "question": maybe(text("What it asks, where its state is held or needs_input.")),
        "request": maybe(text("The id of that question.")),
        "summary": maybe(text("What came of it, in its own words.")),
        "exit_code": maybe(whole("Of its process.", -1, 255)),
        "branch": maybe(text("The branch that holds what it changed.")),
        "error": maybe(text("Why it failed, and what to try.")),
    },
)

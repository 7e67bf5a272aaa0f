"""The requests of the control contract about runners, shared tools and calls; as in `routes`."""

from __future__ import annotations

from relay.api.http1 import quoted
from relay.api.routes import ANSWER_S, MOST_LETTERS, QUICK_S, Call, operation_body, query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from relay.api import tool_shapes

PROGRAMS = "programs"
"""The path of what a program says and hears: `ProgramLink` opens it."""
MOST_WAIT_S = 300.0


def tools() -> Call[tool_shapes.Tools]:
    """The runners of this broker and the tools that others share with it."""
    return Call("tools")


def shares() -> Call[list[tool_shapes.Share]]:
    """What is shared here."""
    return Call("shares")


def share(order: tool_shapes.ShareOrder, operation: str | None = None) -> Call[tool_shapes.Share]:
    """Share an MCP server or a runner, in place of what was shared under that name."""
    return Call("shares", operation_body(operation) | dict(order))


def unshare(name: str, operation: str | None = None) -> Call[tool_shapes.Share]:
    """Share it no more."""
    return Call(f"shares/{_in_path(name, 'share')}/remove", operation_body(operation))


def hide(name: str, broker: str | None = None, operation: str | None = None) -> Call[tool_shapes.Tools]:
    """Show a tool to no client of this broker: of one broker, or of any."""
    return Call("tools/hide", operation_body(operation, name=name, broker=broker))


def unhide(name: str, broker: str | None = None, operation: str | None = None) -> Call[tool_shapes.Tools]:
    """Show it again."""
    return Call("tools/unhide", operation_body(operation, name=name, broker=broker))


def call(order: tool_shapes.CallOrder, operation: str | None = None) -> Call[tool_shapes.ToolCall]:
    """Run a tool once; answered when the call is durable, or with its end where that comes within `wait_s`."""
    wait_s = order.get("wait_s") or 0.0
    return Call("calls", operation_body(operation) | dict(order), patience_s=ANSWER_S + wait_s)


def call_shown(call: str, wait_s: float | None = None) -> Call[tool_shapes.ToolCall]:
    """One call; with `wait_s` (at most 300) once it has ended, or as it stands by then."""
    return Call(f"calls/{_in_path(call, 'call')}" + query(wait_s=wait_s), patience_s=QUICK_S + (wait_s or 0.0))


def calls(limit: int | None = None) -> Call[list[tool_shapes.ToolCall]]:
    """The calls that are known here, newest first, without their results."""
    return Call("calls" + query(limit=limit))


def stop_call(call: str, requested_by: str = "", operation: str | None = None) -> Call[tool_shapes.ToolCall]:
    """Stop a call, wherever it is."""
    body: dict[str, Any] = operation_body(operation, requested_by=requested_by)
    return Call(f"calls/{_in_path(call, 'call')}/stop", body)


def _in_path(text: str, what: str) -> str:
    if text and "/" not in text and len(text) <= MOST_LETTERS:
        return quoted(text)
    from relay.core.errors import Code, Misuse

    code = Code.UNKNOWN_CALL if what == "call" else Code.UNKNOWN_SHARE
    raise Misuse(f"there is no {what} {text[:80]!r}", code=code, hint="relay tools")

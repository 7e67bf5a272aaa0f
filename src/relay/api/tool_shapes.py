"""The JSON of runners, shared tools and calls, as types."""

from __future__ import annotations

from typing import Any, TypedDict

from relay.api.shapes import Named


class Offer(TypedDict):
    """A runner that a program offers: its MCP definition as the server gave it, of the same name."""

    name: str
    definition: dict[str, Any]
    share: str | None


class Tool(TypedDict):
    """A runner or tool, here or of another broker as of its last word. `served` is None where only its broker knows."""

    name: str
    broker: Named
    here: bool
    shared: bool
    served: bool | None
    hidden: bool
    definition: dict[str, Any]
    kind: str
    share: str | None
    reason: str


class Tools(TypedDict):
    """Every tool that is known here, and the names under which clients see more than one other broker's."""

    tools: list[Tool]
    clashes: list[str]


class ShareOrder(TypedDict, total=False):
    """What to share: an MCP server by its command, or a runner by its name."""

    name: str
    command: list[str] | None
    runner: str | None
    only: list[str]
    env: dict[str, str]


class Share(TypedDict):
    """What is shared here. Of what its process has in its environment only the names are shown."""

    name: str
    command: list[str] | None
    runner: str | None
    only: list[str]
    env: list[str]
    created: str
    tools: list[str]
    running: bool
    reason: str


class CallOrder(TypedDict, total=False):
    """A call to make. Without a broker it is this one's where it is offered here, else the one other's that has it."""

    tool: str
    broker: str | None
    arguments: dict[str, Any]
    timeout_s: float | None
    ttl_s: float | None
    wait_s: float | None
    requested_by: str


class CallError(TypedDict):
    """Why a call did not succeed."""

    code: str
    message: str
    why: str
    hint: str


class Progress(TypedDict):
    """How far a runner says that it is."""

    done: float
    of: float | None
    words: str


class ToolCall(TypedDict):
    """One call. `truth` is `{"from": broker id, "at": time}`; `result` an MCP CallToolResult."""

    id: str
    tool: str
    broker: Named
    origin: Named
    requested_by: str
    state: str
    reason: str
    since: str
    created: str
    started: str | None
    ended: str | None
    stop_requested: str | None
    timeout_s: float
    progress: Progress | None
    outcome: str | None
    result: dict[str, Any] | None
    error: CallError | None
    truth: dict[str, str | None] | None
    spoken: str

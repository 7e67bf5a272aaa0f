"""The MCP server: the tools of `offered`, done by `calls`, over the protocol's own package."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

import mcp_types as types
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.stdio import stdio_server

from relay import __version__
from relay.core.errors import RelayError
from relay.mcp_server.calls import Calls
from relay.mcp_server.offered import OFFERS, Offer, named, naming

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

ABOUT = (
    "Relay runs agents, scripts and commands on any of this person's machines. Start one with agent.add; what it says "
    "in `spoken` is true and may be said as it is. Never say that something runs, or is done, unless its state says so."
)


class Face:
    """One server.

    Args:
        calls: does what the tools are asked for.
        style: of the tools' names, `dots` or `underscore`.
    """

    def __init__(self, calls: Calls, style: str) -> None:
        self._calls = calls
        self._style = style
        self._offers = {named(each.name, style): each for each in OFFERS}
        self._tools = [_tool(name, each, naming(each.about, style)) for name, each in self._offers.items()]
        self.server: Server[Any] = Server(
            "relay",
            version=__version__,
            instructions=naming(ABOUT, style),
            on_list_tools=self._list,
            on_call_tool=self._call,
        )

    async def serve_stdio(self) -> None:
        """Serve one client on standard input and output, until it goes away."""
        async with stdio_server() as (read, write):
            await self.server.run(read, write, self.server.create_initialization_options(NotificationOptions()))

    async def _list(self, context: Any, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=self._tools)

    async def _call(self, context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        offer = self._offers.get(params.name)
        if offer is None:
            return _failed(f"there is no tool {params.name[:80]!r}", f"the tools are {', '.join(self._offers)}")
        given = params.arguments or {}
        if (wrong := _wrong(offer.name, given)) is not None:
            return _failed("the arguments do not fit", wrong)

        async def tell(done: float, of: float | None, words: str) -> None:
            await context.session.report_progress(done, of, words)

        try:
            answer = await self._calls.call(offer.name, given, tell)
        except RelayError as error:
            return _failed(error.message, error.why, error.hint, str(error.code))
        if answer.get("next"):
            answer["next"] = naming(answer["next"], self._style)
        return types.CallToolResult(content=[_text(_said(answer))], structured_content=answer)


def _said(answer: dict[str, Any]) -> str:
    """What a client without structured output reads: the sentence first, then all of it."""
    document = json.dumps(answer, ensure_ascii=False)
    return f"{answer['spoken']}\n{document}" if answer.get("spoken") else document


def _tool(name: str, offer: Offer, about: str) -> types.Tool:
    hints = types.ToolAnnotations(
        read_only_hint=not offer.changes, destructive_hint=offer.ends, idempotent_hint=False, open_world_hint=False
    )
    return types.Tool(
        name=name, description=about, input_schema=offer.takes, output_schema=offer.gives, annotations=hints
    )


@functools.cache
def _validators() -> dict[str, Draft202012Validator]:
    from jsonschema import Draft202012Validator  # at the first call: the client waits for our start

    return {each.name: Draft202012Validator(each.takes) for each in OFFERS}


def _wrong(name: str, given: dict[str, Any]) -> str | None:
    """What is wrong with arguments, in a sentence; None for nothing."""
    from jsonschema.exceptions import best_match

    error = best_match(_validators()[name].iter_errors(given))
    if error is None:
        return None
    where = ".".join(map(str, error.absolute_path))
    return f"{where}: {error.message[:300]}" if where else error.message[:300]


def _failed(what: str, why: str = "", hint: str = "", code: str = "usage") -> types.CallToolResult:
    lines = [f"error: {what}", *([f"why: {why}"] if why else []), *([f"try: {hint}"] if hint else []), f"code: {code}"]
    return types.CallToolResult(content=[_text("\n".join(lines))], is_error=True)


def _text(text: str) -> types.TextContent:
    return types.TextContent(type="text", text=text.encode("utf-8", "replace").decode())

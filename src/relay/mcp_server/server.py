"""The MCP server: the tools of `offered`, done by `calls`, and those of other brokers, over the protocol's own package.

What another broker's tool is and gives goes out as the JSON that came: the package's own values have no room for keys
that it does not know, and an order of their own. So it is put in at the end, behind the package's back (`_as_it_came`).
"""

from __future__ import annotations

import functools
import json
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import mcp_types as types
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.stdio import stdio_server

from relay import __version__
from relay.api import routes
from relay.core.errors import RelayError
from relay.mcp_server.calls import Calls
from relay.mcp_server.cancelled import Cancelled
from relay.mcp_server.changes import Changes
from relay.mcp_server.offered import OFFERS, Offer, named, naming
from relay.mcp_server.shared import SharedTools
from relay.mcp_server.shared_calls import SharedCalls

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from jsonschema import Draft202012Validator
    from mcp.server.context import CallNext, ServerRequestContext

    from relay.api.aclient import AsyncClient

    Tell = Callable[[float, float | None, str], Awaitable[None]]

ABOUT = (
    "Relay runs agents, scripts and commands on any of this person's machines. Start one with agent.add; what it says "
    "in `spoken` is true and may be said as it is. Never say that something runs, or is done, unless its state says "
    "so. Tools of other names run on the machine that shares them; one that answers with a ticket is not done: ask "
    "tool.result for it."
)
_GIVEN: ContextVar[dict[str, Any]] = ContextVar("given")
"""Where a call that is being answered puts the JSON that another broker's tool gave."""


class MeshServer(Server[Any]):
    """The package's server, which says to every client that its tools may change."""

    def create_initialization_options(self, *given: Any, **named: Any) -> Any:
        """As the package makes them."""
        changing = NotificationOptions(tools_changed=True)
        return super().create_initialization_options(changing, *given[1:], **named)


class Face:
    """One server.

    Args:
        calls: does what the tools are asked for.
        style: of the tools' names, `dots` or `underscore`.
        client: of the broker, for other brokers' tools.
        patience_s: how long a client waits for one of those.
    """

    def __init__(self, calls: Calls, style: str, client: AsyncClient, patience_s: float) -> None:
        self._calls = calls
        self._style = style
        self._offers = {named(each.name, style): each for each in OFFERS}
        self._tools = [_tool(name, each, naming(each.about, style)) for name, each in self._offers.items()]
        self._shared = SharedTools(client, style, self._offers)
        self._shared_calls = SharedCalls(client, style, patience_s, calls.waits)
        self._cancelled = Cancelled()
        self._changes = Changes(client, self._shared)
        self.server: Server[Any] = MeshServer(
            "relay",
            version=__version__,
            instructions=naming(ABOUT, style),
            on_list_tools=self._list,
            on_call_tool=self._call,
            on_subscriptions_listen=self._changes.listen,
        )
        self.server.middleware += [self._cancelled.hear, self._as_it_came]

    async def serve_stdio(self) -> None:
        """Serve one client on standard input and output, until it goes away."""
        async with stdio_server() as (read, write):
            await self.server.run(read, write, self.server.create_initialization_options())

    async def _list(self, context: Any, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        await self._shared.look()
        self._changes.heard_of(context.session)
        return types.ListToolsResult(tools=self._tools)

    async def _as_it_came(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> Any:
        """Put in what other brokers gave, as they gave it."""
        given: dict[str, Any] = {}
        mark = _GIVEN.set(given)
        try:
            answer: Any = await call_next(ctx)
        finally:
            _GIVEN.reset(mark)
        if ctx.method == "tools/list" and isinstance(answer, dict):
            return answer | {"tools": [*answer["tools"], *(each.definition for each in self._shared.known.values())]}
        if given:
            kept = {key: value for key, value in answer.items() if key in ("_meta", "resultType") and key not in given}
            return given | kept
        return answer

    async def _call(self, context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        async def tell(done: float, of: float | None, words: str) -> None:
            await context.session.report_progress(done, of, words)

        try:
            return await self._answer(params.name, params.arguments or {}, tell, context)
        except RelayError as error:
            return _failed(error.message, error.why, error.hint, str(error.code))

    async def _answer(self, name: str, given: dict[str, Any], tell: Tell, context: Any) -> types.CallToolResult:
        offer, heard = self._offers.get(name), tell if _hears(context) else None
        if offer is None:
            return await self._answer_of_another(name, given, heard, context)
        if (wrong := _wrong(offer.name, given)) is not None:
            return _failed("the arguments do not fit", wrong)
        if offer.name == "tool.result":
            wait_s = given.get("wait", 0)
            return _given(await self._shared_calls.result(given["ticket"], wait_s, heard))
        answer = await self._calls.call(offer.name, given, tell)
        if answer.get("next"):
            answer["next"] = naming(answer["next"], self._style)
        return types.CallToolResult(content=[_text(_said(answer))], structured_content=answer)

    async def _answer_of_another(
        self, name: str, given: dict[str, Any], tell: Tell | None, context: Any
    ) -> types.CallToolResult:
        shared = await self._shared.find(name)
        if shared is None:
            names = [*self._offers, *self._shared.known]
            return _failed(f"there is no tool {name[:80]!r}", f"the tools are {', '.join(names)[:2000]}")
        operation = routes.new_operation()
        with self._cancelled.stops(context, lambda: self._shared_calls.withdraw(operation)):
            return _given(await self._shared_calls.call(shared, given, tell, operation))


def _hears(context: Any) -> bool:
    """Whether the client of a request wants to be told of progress."""
    return bool(context.meta) and context.meta.get("progress_token") is not None


def _given(result: dict[str, Any]) -> types.CallToolResult:
    """What stands for a result until it is put in."""
    _GIVEN.get().update(result)
    return types.CallToolResult(content=[])


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

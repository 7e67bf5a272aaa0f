"""Calls of other brokers' tools: the result as the tool's own server gave it, or a ticket where that takes longer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from relay.api import routes, tool_routes
from relay.api.person import person
from relay.core.calls import call_id
from relay.core.errors import Code, RelayError, Unreachable
from relay.core.states import TERMINAL, State
from relay.library.asking import Asking
from relay.mcp_server.offered import named

if TYPE_CHECKING:
    from relay.api.aclient import AsyncClient
    from relay.api.tool_shapes import CallOrder, ToolCall
    from relay.mcp_server.shared import Shared
    from relay.mcp_server.waits import Waits

JSON = dict[str, Any]
Tell = Callable[[float, float | None, str], Awaitable[None]]
PATIENCE_S = 45.0
AWAY_S = 10.0
"""A broker that is restarted is back by then."""
ONE_WAIT_S, LONGEST_WAIT_S = 0.25, 30.0
"""A client that wants to hear of progress is told four times a second; another hears of the end."""
STOPPED_BY, ORDER_S = "its MCP client", 0.1
TICK, TICK_S = 1e-6, 2.0
"""Before a tool tells of progress of its own, the client hears that it waits; of what it then tells nothing is less."""


class SharedCalls:
    """Makes them.

    Args:
        client: the broker's.
        style: of the tools' names.
        patience_s: how long a client waits for a tool.
        waits: shares the client's connections.
    """

    def __init__(self, client: AsyncClient, style: str, patience_s: float, waits: Waits) -> None:
        self._asking = Asking(client, AWAY_S)
        self._waits = waits
        self._orders: dict[str, asyncio.Task[ToolCall]] = {}
        self._style = style
        self._patience_s = patience_s

    async def call(self, shared: Shared, arguments: JSON, tell: Tell | None, operation: str) -> JSON:
        """What a tool gives, as MCP has it.

        Args:
            shared: the tool.
            arguments: for it; its own server judges them.
            tell: told of progress; None where nobody wants to know.
            operation: a fresh id, by which `withdraw` takes it back.

        Raises:
            RelayError: it was not asked.
        """
        began = time.monotonic()
        order: CallOrder = {
            "tool": shared.tool,
            "broker": shared.broker,
            "arguments": arguments,
            "requested_by": person(),
        }
        asking = self._asked(order, operation, min(_one_wait(tell), self._patience_s))
        task = self._orders[operation] = asyncio.get_running_loop().create_task(asking)
        task.add_done_callback(lambda task: self._answered(operation, task))
        # a client that goes away meanwhile has asked all the same
        call = await self._waited(await asyncio.shield(task), began + self._patience_s, tell)
        if State(call["state"]) in TERMINAL:
            return _end_of(call)
        # a client holds what is no error against the schema that the tool promises
        return self._ticket(call, is_error=shared.promises_structure)

    def _answered(self, operation: str, task: asyncio.Task[ToolCall]) -> None:
        del self._orders[operation]
        if not task.cancelled():
            task.exception()  # whoever waits for it is told; where nobody does, it is nobody's

    async def _asked(self, order: CallOrder, operation: str, wait_s: float) -> ToolCall:
        def request(seconds: float) -> routes.Call[ToolCall]:
            return tool_routes.call({**order, "wait_s": seconds}, operation)

        try:
            return await self._waits.begin(self._asking, request, wait_s)
        except Unreachable as fault:
            ask = named("tool.result", self._style)
            made = f"before you ask again, {ask} with the ticket {call_id(operation)} tells whether it was made"
            hint = f"{fault.hint}; {made}"
            raise Unreachable(fault.message, code=fault.code, why=fault.why, hint=hint) from fault

    async def withdraw(self, operation: str) -> None:
        """Stop the call of an operation: what has not begun never does, and of what has its program is told.

        A broker that is away leaves it as it was: the call then goes on.
        """
        while True:
            task = self._orders.get(operation)
            try:
                await self._asking.ask(tool_routes.stop_call(call_id(operation), STOPPED_BY))
            except RelayError as error:
                if error.code is Code.UNKNOWN_CALL and task is not None:  # its order is on its way
                    await asyncio.wait([task], timeout=ORDER_S)
                    continue
            return

    async def result(self, ticket: str, wait_s: float, tell: Tell | None) -> JSON:
        """What a call came to, by its ticket, as MCP has it.

        Raises:
            RelayError: there is no such call.
        """
        began = time.monotonic()
        call = await self._asking.ask(tool_routes.call_shown(ticket))
        call = await self._waited(call, began + wait_s, tell)
        if State(call["state"]) not in TERMINAL:
            return self._ticket(call, is_error=False)
        end = _end_of(call)
        structured = _facts(call) | {"result": call["result"]}
        return {"content": end["content"], "structuredContent": structured, "isError": end.get("isError", False)}

    async def _waited(self, asked: ToolCall, until: float, tell: Tell | None) -> ToolCall:
        call, told = asked, _Told(tell)
        while State(call["state"]) not in TERMINAL and (left := until - time.monotonic()) > 0:
            await told.look(call)
            try:
                call = await self._looked(call["id"], min(_one_wait(tell), left))
            except Unreachable as fault:
                if fault.code is not Code.NOT_RUNNING:
                    raise
                # it is durable: to its client it may not read as if it had not been made
                return {**call, "spoken": f"{fault.message[:1].upper()}{fault.message[1:]}. Before: {call['spoken']}"}
        return call

    async def _looked(self, call: str, wait_s: float) -> ToolCall:
        return await self._waits.look(self._asking, lambda seconds: tool_routes.call_shown(call, seconds), wait_s)

    def _ticket(self, call: ToolCall, *, is_error: bool) -> JSON:
        ask = named("tool.result", self._style)
        text = (
            f"{call['spoken']}\nThere is no result yet, and nothing is to be done again: the call goes on. "
            f"Ask {ask} for it with the ticket {call['id']}."
        )
        structured = _facts(call) | {"result": None}
        return {"content": [_text(text)], "structuredContent": structured, "isError": is_error}


class _Told:
    """What one client was told of one call."""

    def __init__(self, tell: Tell | None) -> None:
        self._tell = tell
        self._last: object = None
        self._ticks = 0
        self._tick_due = 0.0

    async def look(self, call: ToolCall) -> None:
        """Tell of what is new."""
        if self._tell is None:
            return
        progress = call["progress"]
        if progress is not None and progress != self._last:
            self._last = progress
            await self._tell(progress["done"], progress["of"], progress["words"])
        elif progress is None and time.monotonic() >= self._tick_due:
            self._ticks, self._tick_due = self._ticks + 1, time.monotonic() + TICK_S
            await self._tell(self._ticks * TICK, None, call["spoken"])


def _one_wait(tell: Tell | None) -> float:
    return LONGEST_WAIT_S if tell is None else ONE_WAIT_S


def _facts(call: ToolCall) -> JSON:
    error = call["error"]
    facts = {
        "ticket": call["id"],
        "tool": call["tool"],
        "broker": call["broker"]["name"],
        "state": call["state"],
        "ended": State(call["state"]) in TERMINAL,
        "spoken": call["spoken"],
    }
    return facts | ({"error": _error_text(error["message"], error["why"], error["hint"])} if error else {})


def _end_of(call: ToolCall) -> JSON:
    """The result of a call that has ended; where there is none, why, as an error of the tool."""
    if call["result"] is not None:
        return call["result"]
    error = call["error"]
    if error is None:
        lines = [call["spoken"], f"code: {call['state']}"]
    else:
        lines = [call["spoken"], _error_text(error["message"], error["why"], error["hint"]), f"code: {error['code']}"]
    return {"content": [_text("\n".join(lines))], "isError": True}


def _error_text(message: str, why: str, hint: str) -> str:
    lines = [f"error: {message}", *([f"why: {why}"] if why else []), *([f"try: {hint}"] if hint else [])]
    return "\n".join(lines)


def _text(text: str) -> JSON:
    return {"type": "text", "text": text}

"""The routes of runners, shared tools and calls; and of programs, which speak both ways at once.

    POST programs    lines of JSON both ways: what a program says and hears (relay.broker.tools.serving)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from relay.broker.control.answers import MAX_BODY, OTHER_VERSION, body_of, json_answer, line
from relay.broker.control.live import NDJSON, Both, begin, lines_of, more
from relay.broker.control.tasks import PROCESSES, caller_of
from relay.broker.orders import check_operation
from relay.broker.tools.outlived import leave_with_its_process
from relay.broker.tools.programs import Message, Program, read_message
from relay.core import json_values
from relay.core.calls import MAX_RESULT, too_large
from relay.core.errors import LocalFault, Misuse, RelayError

if TYPE_CHECKING:
    from starlette.types import Send

    from relay.broker.broker import Broker
    from relay.store.call_rows import CallRow

MAX_WAIT_S = 300.0
MOST_LISTED = 1_000
MAX_SAID = 2 * MAX_RESULT  # what is too large is told to be; what is larger still ends the connection
LAST_WORD_S = 1.0
"""Nobody may read what is said to a process that has ended."""
LONG = 256 * 1024
Endpoint = Callable[[Request], Awaitable[Response]]


class ToolControl:
    """The endpoints over one broker's tools. A task may look, call, and stop its own calls."""

    def __init__(self, broker: Broker) -> None:
        self._tools = broker.tools

    @property
    def routes(self) -> list[tuple[str, str, Endpoint]]:
        """Method, path and endpoint of each."""
        return [
            ("GET", "tools", self.tools),
            ("POST", "tools/hide", self.hide),
            ("POST", "tools/unhide", self.unhide),
            ("GET", "shares", self.shares),
            ("POST", "shares", self.share),
            ("POST", "shares/{name}/remove", self.unshare),
            ("GET", "calls", self.calls),
            ("POST", "calls", self.call),
            ("GET", "calls/{ref}", self.shown),
            ("POST", "calls/{ref}/stop", self.stop),
        ]

    @property
    def live(self) -> list[Route]:
        """What goes on as long as both sides like."""
        return [Route("/api/v1/programs", Both(self.programs), methods=["POST"])]

    # tools

    async def tools(self, request: Request) -> Response:
        """`relay tools`."""
        return json_answer(await self._tools.views.tools())

    async def hide(self, request: Request) -> Response:
        """`relay tools hide`."""
        return json_answer(await self._tools.sharing.hide(await body_of(request), hidden=True))

    async def unhide(self, request: Request) -> Response:
        """`relay tools unhide`."""
        return json_answer(await self._tools.sharing.hide(await body_of(request), hidden=False))

    async def shares(self, request: Request) -> Response:
        """`relay tools shares`."""
        return json_answer(await self._tools.views.shares())

    async def share(self, request: Request) -> Response:
        """`relay tools share`."""
        return json_answer(await self._tools.sharing.share(await body_of(request)), 201)

    async def unshare(self, request: Request) -> Response:
        """`relay tools unshare`."""
        name = request.path_params["name"]
        return json_answer(await self._tools.sharing.remove(name, await body_of(request)))

    # calls

    async def calls(self, request: Request) -> Response:
        """`relay tools calls`."""
        limit = request.query_params.get("limit") or "20"
        if not (limit.isascii() and limit.isdigit() and 0 < int(limit[:9]) <= MOST_LISTED):
            why = f"it lies between 1 and {MOST_LISTED}"
            raise Misuse("limit is out of range", why=why, hint=OTHER_VERSION)
        return json_answer(await self._tools.views.listed(int(limit)))

    async def call(self, request: Request) -> Response:
        """`relay tools call`."""
        body, caller = await _order_of(request), caller_of(request)
        wait_s = _wait(body.get("wait_s") or 0.0)
        order = await self._tools.orders.read(body, caller)
        with self._tools.waiters.watch(order.request.id) as ended:
            row = await self._tools.asking.call(order, caller)
            row = await self._tools.asking.until(row, wait_s, ended)
        return await self._answer(row, 201)

    async def shown(self, request: Request) -> Response:
        """`relay tools result`."""
        text = request.query_params.get("wait_s") or "0"
        try:
            wait_s = _wait(float(text))
        except ValueError:
            raise Misuse("wait_s is no number", hint=OTHER_VERSION) from None
        row = await self._tools.asking.shown(request.path_params["ref"], wait_s)
        return await self._answer(row)

    async def stop(self, request: Request) -> Response:
        """`relay tools stop`."""
        body = await body_of(request)
        check_operation(body)
        by = str(body.get("requested_by") or "a request")[:100]
        return await self._answer(await self._tools.asking.stop(request.path_params["ref"], by))

    # programs

    async def programs(self, request: Request, send: Send) -> None:
        """What a program says and hears, until either leaves. An early error is an answer of its own."""
        lines = lines_of(request, MAX_SAID)
        hello = await _read(await anext(lines, b"{}"))
        program = await self._tools.welcome(hello, request.scope.get(PROCESSES, ()))
        tasks: list[asyncio.Task[None]] = []
        try:
            await begin(send, NDJSON)
            work = (self._say(program, send), leave_with_its_process(program), self._hear(program, lines))
            tasks = [asyncio.get_running_loop().create_task(each) for each in work]
            await asyncio.wait(tasks[:2], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait(tasks[:1], timeout=LAST_WORD_S)
        finally:
            program.leave()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._tools.serving.left(program)

    async def _say(self, program: Program, send: Send) -> None:
        while (message := await program.next()) is not None:
            await more(send, line(message))
        await more(send, b"", last=True)

    async def _hear(self, program: Program, lines: AsyncIterator[bytes]) -> None:
        try:
            async for each in lines:
                if each.strip():
                    program.is_heard = True
                    await self._tools.serving.heard(program, await _read(each), len(each) >= LONG)
                    program.heard, program.is_heard = program.heard + 1, False
        except LocalFault:
            pass  # what it said is not kept: it says so again over its next connection
        except RelayError as error:
            program.say({"refused": {"name": None} | error.to_json()})
        except ClientDisconnect:
            pass
        finally:
            program.leave()

    async def _answer(self, row: CallRow, status: int = 200) -> Response:
        if row.result is None or len(row.result) < LONG:
            return json_answer(self._tools.views.call(row), status)
        return await asyncio.to_thread(lambda: json_answer(self._tools.views.call(row), status))


async def _order_of(request: Request) -> dict[str, Any]:
    """The JSON object of a call: its arguments are the tool's, so that their numbers may be any that JSON has."""
    data = b""
    async for piece in request.stream():
        data += piece
        if len(data) > MAX_BODY:
            raise too_large(len(data))
    try:
        document = json_values.read(data, MAX_BODY)
    except ValueError as fault:
        raise Misuse("the call cannot be carried", why=str(fault), hint="relay tools") from None
    if not isinstance(document, dict):
        raise Misuse("the request is no JSON object", hint=OTHER_VERSION)
    return document


async def _read(text: bytes) -> Message:
    if len(text) < LONG:
        return read_message(text, MAX_SAID)
    return await asyncio.to_thread(read_message, text, MAX_SAID)


def _wait(seconds: object) -> float:
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds <= MAX_WAIT_S:
        raise Misuse("that cannot be waited for", why=f"wait_s lies between 0 and {MAX_WAIT_S:.0f}", hint=OTHER_VERSION)
    return float(seconds)

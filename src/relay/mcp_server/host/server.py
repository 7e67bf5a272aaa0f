"""One run of an MCP server, through the protocol's own client: its tools as it words them, and calls.

What a server says is kept as JSON and never becomes a value of the package: that one drops the keys that it does not
know, and has an order of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import mcp_types as types
from mcp.client.session import ClientSession, IncomingMessage
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost, listen
from mcp.shared.exceptions import MCPError
from pydantic import TypeAdapter, ValidationError

from relay import __version__
from relay.core.errors import Code, LocalFault
from relay.mcp_server.host.messages import is_unreadable
from relay.mcp_server.host.pipes import Pipes
from relay.mcp_server.host.results import THERE
from relay.mcp_server.host.sifting import Sifting

if TYPE_CHECKING:
    from mcp.shared.dispatcher import ProgressFnT

START_S = 60.0
"""`npx` may fetch the program first."""
LIST_S = 30.0
MOST_PAGES = 64
MOST_TOOLS = 512
CLOSED_WORDS = "Connection closed"
"""Of the package, where it could not even ask."""
JSON = dict[str, Any]
_AS_IT_CAME: TypeAdapter[Any] = TypeAdapter(JSON)
_GONE = ("the tool's server ended while it ran", "it may have acted: look before you ask for it again")


class ServerFault(LocalFault):
    """The server cannot be talked with: it ended, it says nothing, or what it says is not the protocol."""

    default_code = Code.TOOL_SERVER_ENDED


class ToolRefused(LocalFault):
    """The server answered a call with an error of the protocol: no such tool, wrong arguments, its own fault."""

    default_code = Code.RUNNER_FAILED


class Server:
    """A server that has been greeted.

    Args:
        session: the conversation.
        sifting: what carries it.
        pipes: its process.
        changed: told when it says that its tools are others now.
    """

    def __init__(
        self, session: ClientSession, sifting: Sifting, pipes: Pipes, changed: Callable[[], None]
    ) -> None:
        self._session = session
        self._sifting = sifting
        self._pipes = pipes
        self._changed = changed

    async def tools(self) -> list[JSON]:
        """The definitions of its tools, as its JSON has them; those that are none by the protocol are in `left_out`.

        Raises:
            ServerFault: it does not list them.
        """
        self._sifting.left_out.clear()
        found: list[JSON] = []
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            asked = types.ListToolsRequest(params=types.PaginatedRequestParams(cursor=cursor))
            page = await self._asked(asked, LIST_S)
            found += page["tools"]
            cursor = page.get("nextCursor")
            if not cursor or len(found) > MOST_TOOLS:
                return found
        raise ServerFault("its list of tools does not end", why=f"it has more than {MOST_PAGES} pages", hint=THERE)

    @property
    def left_out(self) -> dict[str, str]:
        """What of the last list of its tools is no tool by the protocol, by name, each with why."""
        return dict(self._sifting.left_out)

    async def call(self, tool: str, arguments: JSON, tell: ProgressFnT) -> JSON:
        """What a tool gives, as its JSON has it.

        Args:
            tool: its name.
            arguments: for it.
            tell: told of progress.

        Raises:
            ToolRefused: the server says no.
            ServerFault: it ended meanwhile, or its answer is not the protocol's.
        """
        asked = types.CallToolRequest(params=types.CallToolRequestParams(name=tool, arguments=arguments))
        try:
            given: JSON = await self._session.send_request(asked, _AS_IT_CAME, progress_callback=tell)
        except MCPError as error:
            if self._has_ended(error):
                raise await self._ended() from None
            if is_unreadable(error.error):
                raise _unreadable("answer", error, Code.BAD_RESULT) from None
            why = f"the tool's server answered {error.error.code}"
            hint = "call it otherwise: relay tools --json"
            raise ToolRefused(error.error.message[:1000], why=why, hint=hint) from None
        except ValidationError as fault:
            raise _not_the_protocol("result", fault, Code.BAD_RESULT) from None
        return given

    async def listen(self) -> None:
        """In the newer era of the protocol, hear of changes; in the older one they are told unasked."""
        with contextlib.suppress(ListenNotSupportedError, MCPError, SubscriptionLost):
            async with listen(self._session, tools_list_changed=True) as heard:
                async for _ in heard:
                    self._changed()

    async def _asked(self, request: Any, seconds: float) -> JSON:
        try:
            page: JSON = await self._session.send_request(request, _AS_IT_CAME, request_read_timeout_seconds=seconds)
        except MCPError as error:
            if self._has_ended(error):
                raise await self._ended() from None
            raise ServerFault("its tools cannot be listed", why=error.error.message[:300], hint=THERE) from None
        except ValidationError as fault:
            raise _not_the_protocol("list of tools", fault) from None
        return page

    def _has_ended(self, error: MCPError) -> bool:
        """Whether it is the package's own word that nothing more comes: many a server says the same of other things."""
        told = error.error
        is_that_word = told.code == types.CONNECTION_CLOSED
        return is_that_word and (self._pipes.closed.is_set() or told.message == CLOSED_WORDS)

    async def _ended(self) -> ServerFault:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3):
                await self._pipes.ended()
        how = self._pipes.fault or how_it_ended(self._pipes.status)
        return ServerFault(_GONE[0], why=f"{how}; {_GONE[1]}", hint=THERE)


def how_it_ended(status: int | None) -> str:
    """The end of a server in words, by its keeper's exit status."""
    if status is None:
        return "it closed its output"
    return f"it was ended by signal {status - 128}" if status > 128 else f"it ended with exit status {status}"


def _unreadable(what: str, error: MCPError, code: Code) -> ServerFault:
    why = f"{error.error.message}; the tool may have acted"
    return ServerFault(f"its {what} cannot be read", code=code, why=why, hint=THERE)


def _not_the_protocol(what: str, fault: ValidationError, code: Code = Code.TOOL_SERVER_ENDED) -> ServerFault:
    first = fault.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    why = f"{where}: {first['msg']}"[:300]
    return ServerFault(f"its {what} is not what the protocol asks for", code=code, why=why, hint=THERE)


@asynccontextmanager
async def greeted(pipes: Pipes, changed: Callable[[], None]) -> AsyncIterator[Server]:
    """Greet a server that has been started.

    Args:
        pipes: to it.
        changed: called when it says that its tools are others now.

    Raises:
        ServerFault: it does not answer as the protocol asks.
    """

    async def heard(message: IncomingMessage) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            changed()

    us = types.Implementation(name="relay", version=__version__)
    sifting = Sifting(pipes)
    sifting.session = ClientSession(dispatcher=sifting, message_handler=heard, client_info=us)
    try:
        async with sifting.session as session:
            await _negotiate(session, pipes)
            server = Server(session, sifting, pipes, changed)
            hearing = asyncio.get_running_loop().create_task(server.listen())
            try:
                yield server
            finally:
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)
    except BaseExceptionGroup as group:
        raise _first(group) from None


def _first(fault: BaseException) -> BaseException:
    """What went wrong, out of the groups that the package's tasks wrap it in."""
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    return fault


async def _negotiate(session: ClientSession, pipes: Pipes) -> None:
    """The handshake that every server of the older era knows; who refuses it is of the newer one."""
    try:
        async with asyncio.timeout(START_S):
            try:
                await session.initialize()
            except MCPError as error:
                if error.error.code == types.CONNECTION_CLOSED:
                    raise
                await session.discover()
    except TimeoutError:
        why = f"nothing came within {START_S:g} s of its start"
        raise ServerFault("it did not answer", why=why, hint=THERE) from None
    except ValidationError as fault:
        raise _not_the_protocol("greeting", fault) from None
    except (MCPError, RuntimeError) as fault:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3):
                await pipes.ended()
        status = pipes.status
        why = pipes.fault or (str(fault)[:300] if status is None else how_it_ended(status))
        raise ServerFault("it could not be greeted", why=why, hint=THERE) from None

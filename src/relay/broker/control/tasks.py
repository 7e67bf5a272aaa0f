"""What a task may ask its own broker for: to look, to start spawns, and to stop those that it started."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.requests import Request

from relay.api.task_token import HEADER
from relay.core.errors import Code, Refused, RelayError

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from relay.broker.requests import Requests
    from relay.broker.tasks import Caller, Tasks
    from relay.broker.tools.asking import CallAsking
    from relay.broker.tools.hosting import Hosting

CALLER = "relay.caller"
PROCESSES = "relay.processes"
_ROOT = "/api/v1/"
_STARTS = frozenset({f"{_ROOT}spawns", f"{_ROOT}trials", f"{_ROOT}calls"})
_OF_OWN_CALLS = re.compile(rf"{_ROOT}calls/([^/]+)/stop\Z")
_OF_OWN = re.compile(rf"{_ROOT}spawns/([^/]+)/(?:stop|files)\Z")


def caller_of(request: Request) -> Caller | None:
    """The task that a request comes from; None for a person's."""
    found: Caller | None = request.scope.get(CALLER)
    return found


class TaskScope:
    """The control API, with what tasks ask for told apart from what persons do.

    Args:
        application: the API.
        tasks: knows which task asks.
        requests: finds spawns.
        calls: finds calls.
        hosting: knows which processes are those of shared servers.
        refused: makes the answer of an error.
    """

    def __init__(
        self,
        application: ASGIApp,
        tasks: Tasks,
        requests: Requests,
        calls: CallAsking,
        hosting: Hosting,
        refused: Callable[[RelayError], Response],
    ) -> None:
        self._calls = calls
        self._hosting = hosting
        self._application = application
        self._tasks = tasks
        self._requests = requests
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["method"] != "GET":
            try:
                scope[CALLER] = await self._judged(Request(scope))
            except RelayError as error:
                await self._refused(error)(scope, receive, send)
                return
        await self._application(scope, receive, send)

    async def _judged(self, request: Request) -> Caller | None:
        lineage = request.scope.get(PROCESSES, ())
        caller = await self._tasks.caller(request.headers.get(HEADER), lineage)
        if caller is None and self._hosting.has_started(lineage):
            # else whoever may call its tools could have it act as this machine's person
            why = "it is part of a shared MCP server, which may look and nothing else"
            raise Refused("a shared server may not ask for that", code=Code.TASK_SCOPE, why=why, hint="do it yourself")
        if caller is not None and not await self._may(caller, request.url.path):
            why = "it is part of a task; a task may look, start spawns, call tools, and stop what it started"
            hint = "do it yourself, outside of the task"
            raise Refused("a task may not ask for that", code=Code.TASK_SCOPE, why=why, hint=hint)
        return caller

    async def _may(self, caller: Caller, path: str) -> bool:
        if path in _STARTS:
            return True
        if (called := _OF_OWN_CALLS.match(path)) is not None:
            return (await self._calls.find(called[1])).parent == caller.spawn
        of_own = _OF_OWN.match(path)
        return of_own is not None and await self._tasks.has_caused(
            caller, (await self._requests.find(of_own[1])).id
        )

"""What a client asks for no longer: `notifications/cancelled` names its request, and the call that it made is stopped.

A client that only goes away has said nothing of the kind: what it has asked for goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anyio

if TYPE_CHECKING:
    from mcp.server.context import CallNext, ServerRequestContext

METHOD = "notifications/cancelled"
HEARD_S = 1.0
"""The package ends the request before it tells us why."""
STOP_S = 12.0
Key = tuple[str, str]
Stop = Callable[[], Awaitable[None]]


class Cancelled:
    """The requests that would have something stopped."""

    def __init__(self) -> None:
        self._stops: dict[Key, Stop] = {}

    @contextmanager
    def stops(self, context: ServerRequestContext[Any, Any], stop: Stop) -> Iterator[None]:
        """Have this stopped where the client cancels the request while the block runs."""
        key = _key(context, context.request_id)
        self._stops[key] = stop
        try:
            yield
        except asyncio.CancelledError:
            asyncio.get_running_loop().call_later(HEARD_S, self._forget, key, stop)
            raise
        except BaseException:
            self._forget(key, stop)
            raise
        else:
            self._forget(key, stop)

    def _forget(self, key: Key, stop: Stop) -> None:
        if self._stops.get(key) is stop:
            del self._stops[key]

    async def hear(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> Any:
        """Middleware of the package: hears of what is cancelled."""
        if ctx.method == METHOD:
            stop = self._stops.pop(_key(ctx, (ctx.params or {}).get("requestId")), None)
            if stop is not None:
                # a client that cancels and goes away at once is heard all the same
                with anyio.move_on_after(STOP_S, shield=True):
                    await stop()
        return await call_next(ctx)


def _key(context: ServerRequestContext[Any, Any], request: object) -> Key:
    """Of two clients over HTTP each counts its requests by itself."""
    session = "" if context.request is None else context.request.headers.get("mcp-session-id", "")
    return session, str(request)

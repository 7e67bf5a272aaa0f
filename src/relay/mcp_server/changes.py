"""Tells clients that the tools are others now: in the older era over their connection, in the newer one who listens."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from relay.api import routes
from relay.core.errors import RelayError

if TYPE_CHECKING:
    import mcp_types as types
    from mcp.server.session import ServerSession

    from relay.api.aclient import AsyncClient
    from relay.mcp_server.shared import SharedTools

SETTLE_S = 0.1
AGAIN_S, LONGEST_S = 0.5, 10.0
MOST_CLIENTS = 64
KINDS = ("tool.changed", "broker.changed")


class Changes:
    """Follows the broker's events from the first client on that has listed the tools.

    Args:
        client: the broker's.
        tools: what is looked at anew.
    """

    def __init__(self, client: AsyncClient, tools: SharedTools) -> None:
        self._client = client
        self._tools = tools
        self._sessions: OrderedDict[int, tuple[object, ServerSession]] = OrderedDict()
        self._bus: Any = None
        self._serve: Any = None
        self._following: asyncio.Task[None] | None = None

    def heard_of(self, session: ServerSession) -> None:
        """A client has listed the tools, and is told when they change."""
        if (who := session.client_params) is not None:
            self._sessions[id(who)] = (who, session)
            while len(self._sessions) > MOST_CLIENTS:
                self._sessions.popitem(last=False)
        if self._following is None or self._following.done():
            self._following = asyncio.get_running_loop().create_task(self._follow())

    async def listen(
        self, context: Any, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """`subscriptions/listen` of the newer era."""
        if self._serve is None:
            from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler  # not for who never listens

            self._bus = InMemorySubscriptionBus()
            self._serve = ListenHandler(self._bus, max_subscriptions=MOST_CLIENTS)
        self.heard_of(context.session)
        result: types.SubscriptionsListenResult = await self._serve(context, params)
        return result

    async def _follow(self) -> None:
        pause = AGAIN_S
        while True:
            with contextlib.suppress(RelayError):
                try:
                    since = await self._last()
                finally:
                    await self._look()  # for what has changed while nobody followed, or where nobody may
                async for event in self._client.lines(routes.events(since, follow=True)):
                    pause = AGAIN_S
                    if event["kind"] in KINDS:
                        await asyncio.sleep(SETTLE_S)  # several of them come together
                        await self._look()
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_S)

    async def _last(self) -> int | None:
        """The number of the last event there is."""
        listing = await self._client.ask(routes.listing({"limit": 1}))
        return listing["seq"]

    async def _look(self) -> None:
        if await self._tools.look():
            await self._tell()

    async def _tell(self) -> None:
        for key, (_, session) in list(self._sessions.items()):
            try:
                await session.send_tool_list_changed()
            except Exception:  # whatever a client's end has come to, the others are told
                self._sessions.pop(key, None)
        if self._bus is not None:
            from mcp.server.subscriptions import ToolsListChanged

            await self._bus.publish(ToolsListChanged())

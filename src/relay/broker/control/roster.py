"""The routes of the roster: who belongs to the workspace."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from relay.broker.control.answers import body_of, json_answer
from relay.broker.orders import check_operation
from relay.core.errors import Misuse

if TYPE_CHECKING:
    from relay.broker.roster_orders import RosterOrders

Endpoint = Callable[[Request], Awaitable[Response]]


class RosterControl:
    """The endpoints over one broker's roster."""

    def __init__(self, orders: RosterOrders) -> None:
        self._orders = orders

    @property
    def routes(self) -> list[tuple[str, str, Endpoint]]:
        """Method, path and endpoint of each."""
        return [("GET", "roster", self.roster), ("POST", "brokers/{ref}/evict", self.evict)]

    async def roster(self, request: Request) -> Response:
        """`relay brokers --roster`."""
        return json_answer(await self._orders.show())

    async def evict(self, request: Request) -> Response:
        """`relay broker evict`."""
        body = await body_of(request)
        check_operation(body)
        reason = body.get("reason", "")
        if not isinstance(reason, str):
            raise Misuse("the reason is no text", hint="relay broker evict NAME --reason TEXT")
        return json_answer(await self._orders.evict(request.path_params["ref"], reason))

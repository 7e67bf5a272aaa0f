"""The routes of the workspace: who belongs to it, and its epochs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from relay.broker.control.answers import body_of, json_answer
from relay.broker.orders import check_operation
from relay.core.errors import Misuse

if TYPE_CHECKING:
    from relay.broker.belonging import Belonging

Endpoint = Callable[[Request], Awaitable[Response]]


class RosterControl:
    """The endpoints over one broker's roster and epochs."""

    def __init__(self, belonging: Belonging) -> None:
        self._orders = belonging.orders
        self._rotation = belonging.rotation

    @property
    def routes(self) -> list[tuple[str, str, Endpoint]]:
        """Method, path and endpoint of each."""
        return [
            ("GET", "roster", self.roster),
            ("POST", "brokers/{ref}/promote", self.promote),
            ("POST", "brokers/{ref}/demote", self.demote),
            ("POST", "brokers/{ref}/evict", self.evict),
            ("GET", "workspace", self.workspace),
            ("POST", "workspace/rotate", self.rotate),
        ]

    async def roster(self, request: Request) -> Response:
        """`relay brokers --roster`."""
        return json_answer(await self._orders.show())

    async def evict(self, request: Request) -> Response:
        """`relay broker evict`."""
        reason = await _reason(request, "evict")
        return json_answer(await self._orders.evict(request.path_params["ref"], reason))

    async def demote(self, request: Request) -> Response:
        """`relay broker demote`."""
        reason = await _reason(request, "demote")
        return json_answer(await self._orders.demote(request.path_params["ref"], reason))

    async def promote(self, request: Request) -> Response:
        """`relay broker promote`."""
        check_operation(await body_of(request))
        return json_answer(await self._orders.promote(request.path_params["ref"]))

    async def workspace(self, request: Request) -> Response:
        """`relay workspace show`."""
        return json_answer(self._rotation.show())

    async def rotate(self, request: Request) -> Response:
        """`relay workspace rotate`."""
        return json_answer(await self._rotation.rotate(check_operation(await body_of(request))))


async def _reason(request: Request, verb: str) -> str:
    body = await body_of(request)
    check_operation(body)
    reason = body.get("reason", "")
    if not isinstance(reason, str):
        raise Misuse("the reason is no text", hint=f"relay broker {verb} NAME --reason TEXT")
    return reason

"""The routes of telling persons: channels, and what was told over them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from relay.broker.control.answers import OTHER_VERSION, body_of, json_answer
from relay.broker.notify.channels import MOST_LISTED
from relay.broker.orders import check_operation
from relay.core.errors import Misuse

if TYPE_CHECKING:
    from relay.broker.broker import Broker

Endpoint = Callable[[Request], Awaitable[Response]]


class NotifyControl:
    """The endpoints over one broker's channels. A task may look, as at everything, and change nothing."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._channels = broker.notify.channels

    @property
    def routes(self) -> list[tuple[str, str, Endpoint]]:
        """Method, path and endpoint of each."""
        return [
            ("GET", "notify", self.listing),
            ("GET", "notify/sent", self.sent),
            ("POST", "notify", self.add),
            ("POST", "notify/{ref}/test", self.test),
            ("POST", "notify/{ref}/remove", self.remove),
        ]

    async def listing(self, request: Request) -> Response:
        """`relay notify list`."""
        return json_answer(await self._channels.listing())

    async def sent(self, request: Request) -> Response:
        """`relay notify sent`."""
        ref, limit = request.query_params.get("spawn"), request.query_params.get("limit") or "20"
        if not (limit.isascii() and limit.isdigit() and 0 < int(limit[:9]) <= MOST_LISTED):
            why = f"it lies between 1 and {MOST_LISTED}"
            raise Misuse("limit is out of range", why=why, hint=OTHER_VERSION)
        spawn = None if ref is None else (await self._broker.requests.find(ref)).id
        return json_answer(await self._channels.sent(int(limit), spawn))

    async def add(self, request: Request) -> Response:
        """`relay notify add`."""
        body = await body_of(request)
        return json_answer(await self._channels.add(body, check_operation(body)), 201)

    async def test(self, request: Request) -> Response:
        """`relay notify test`."""
        check_operation(await body_of(request))
        return json_answer(await self._channels.test(request.path_params["ref"]))

    async def remove(self, request: Request) -> Response:
        """`relay notify remove`."""
        check_operation(await body_of(request))
        return json_answer(await self._channels.remove(request.path_params["ref"]))

"""The routes about the dashboard itself: codes, devices, and what it is called in public."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from relay.broker.control.answers import body_of, json_answer
from relay.broker.devices import shown
from relay.broker.orders import check_operation
from relay.broker.words import rfc3339
from relay.core.scopes import scopes_of

if TYPE_CHECKING:
    from relay.broker.broker import Broker

Endpoint = Callable[[Request], Awaitable[Response]]


class DashboardControl:
    """The endpoints over one broker's dashboard.

    Args:
        broker: whose.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._devices = broker.dashboard.devices
        self._seat = broker.dashboard

    @property
    def routes(self) -> list[tuple[str, str, Endpoint]]:
        """Method, path and endpoint of each."""
        return [
            ("GET", "dashboard", self.show),
            ("POST", "dashboard/open", self.serve),
            ("POST", "dashboard/codes", self.code),
            ("POST", "dashboard/publish", self.publish),
            ("GET", "dashboard/devices", self.devices),
            ("POST", "dashboard/devices/{ref}/revoke", self.revoke),
        ]

    async def show(self, request: Request) -> Response:
        """Where it is served, if it is."""
        return json_answer(self._seat.shown())

    async def serve(self, request: Request) -> Response:
        """It is served from now on."""
        check_operation(await body_of(request))
        await self._seat.open(self._broker)
        return json_answer(self._seat.shown())

    async def code(self, request: Request) -> Response:
        """`relay dashboard`: it is served from now on, and a code opens it once."""
        body = await body_of(request)
        check_operation(body)
        scopes = scopes_of(body.get("scopes"))
        await self._seat.open(self._broker)
        code, expires = await self._devices.issue(scopes, is_shown=body.get("shown") is True)
        told = {"code": code, "expires": rfc3339(expires), "scopes": list(scopes)}
        return json_answer(told | self._seat.shown(), 201)

    async def publish(self, request: Request) -> Response:
        """`relay dashboard publish`: the public name, or null."""
        body = await body_of(request)
        check_operation(body)
        await self._seat.publish(body.get("origin"))
        return json_answer(self._seat.shown())

    async def devices(self, request: Request) -> Response:
        """`relay dashboard devices list`."""
        return json_answer(self._devices.listing())

    async def revoke(self, request: Request) -> Response:
        """`relay dashboard devices revoke`."""
        check_operation(await body_of(request))
        return json_answer(shown(await self._devices.revoke(request.path_params["ref"])))

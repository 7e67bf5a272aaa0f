"""The routes by which a browser has itself told by Web Push; each is about the device that asks, and no other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from relay.broker.control.answers import body_of, json_answer
from relay.broker.orders import check_operation
from relay.core.errors import Misuse

if TYPE_CHECKING:
    from relay.broker.broker import Broker
    from relay.store.devices import Device

DEVICE = "relay.device"
"""Where in a request's scope the device is that asks by the dashboard's port."""
Endpoint = Callable[[Request], Awaitable[Response]]


class PushControl:
    """The endpoints over one broker's browsers.

    Args:
        broker: whose.
    """

    def __init__(self, broker: Broker) -> None:
        self._browsers = broker.notify.browsers

    @property
    def routes(self) -> list[tuple[str, str, Endpoint]]:
        """Method, path and endpoint of each."""
        return [
            ("GET", "dashboard/push", self.shown),
            ("POST", "dashboard/push", self.add),
            ("POST", "dashboard/push/off", self.remove),
        ]

    async def shown(self, request: Request) -> Response:
        """Whether this device is told."""
        return json_answer(await self._browsers.shown(_device(request)))

    async def add(self, request: Request) -> Response:
        """It is told from now on."""
        body = await body_of(request)
        check_operation(body)
        return json_answer(await self._browsers.add(_device(request), body), 201)

    async def remove(self, request: Request) -> Response:
        """It is told no more."""
        check_operation(await body_of(request))
        return json_answer(await self._browsers.remove(_device(request)))


def _device(request: Request) -> Device:
    device: Device | None = request.scope.get(DEVICE)
    if device is None:
        why = "what asks is no device of the dashboard"
        raise Misuse("a browser asks this for itself", why=why, hint="relay notify add NAME, for another channel")
    return device

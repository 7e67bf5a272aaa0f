"""The routes of blobs; the long ones answer with a line each of how far they are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from relay.broker.blobs.orders import BlobOrders, absolute
from relay.broker.control.answers import body_of, json_answer, line, stream
from relay.broker.orders import check_operation
from relay.core.errors import Misuse

Endpoint = Callable[[Request], Awaitable[Response]]


class BlobControl:
    """The endpoints over one broker's blobs.

    Args:
        orders: carries out what is asked.
    """

    def __init__(self, orders: BlobOrders) -> None:
        self._orders = orders

    @property
    def routes(self) -> list[tuple[str, str, Endpoint]]:
        """Method, path and endpoint of each."""
        return [
            ("GET", "blobs", self.listing),
            ("POST", "blobs", self.send),
            ("POST", "blobs/get", self.get),
            ("POST", "blobs/remove", self.remove),
        ]

    async def listing(self, request: Request) -> Response:
        """`relay blob list`."""
        return json_answer(await self._orders.views.listing())

    async def send(self, request: Request) -> Response:
        """`relay blob send`."""
        order = self._orders.read(await body_of(request))
        return await stream(_lines(self._orders.send(order)))

    async def get(self, request: Request) -> Response:
        """`relay blob get`."""
        body = await body_of(request)
        check_operation(body)
        target = None if body.get("to") is None else absolute(body["to"], "the file to write")
        return await stream(_lines(self._orders.get(_ref(body), target)))

    async def remove(self, request: Request) -> Response:
        """`relay blob remove`."""
        body = await body_of(request)
        check_operation(body)
        return json_answer(await self._orders.remove(_ref(body)))


def _ref(body: dict[str, Any]) -> str:
    ref = body.get("blob")
    if not isinstance(ref, str) or not ref.isascii():
        raise Misuse("which blob?", hint="relay blob list")
    return ref


async def _lines(found: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    async for each in found:
        yield line(each)

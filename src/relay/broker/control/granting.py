"""The routes of who may do what on this machine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from relay.broker.control.answers import body_of, json_answer
from relay.broker.granting import Granting
from relay.broker.orders import check_operation

Endpoint = Callable[[Request], Awaitable[Response]]


class GrantControl:
    """The endpoints over trust.toml.

    Args:
        granting: reads and edits it.
    """

    def __init__(self, granting: Granting) -> None:
        self._granting = granting

    @property
    def routes(self) -> list[tuple[str, str, Endpoint]]:
        """Method, path and endpoint of each."""
        return [
            ("GET", "grants", self.listing),
            ("POST", "grants/{ref}/allow", self.allow),
            ("POST", "grants/{ref}/revoke", self.revoke),
        ]

    async def listing(self, request: Request) -> Response:
        """`relay trust list`."""
        return json_answer(self._granting.listing())

    async def allow(self, request: Request) -> Response:
        """`relay trust allow`."""
        body = await body_of(request)
        return json_answer(await self._granting.allow(request.path_params["ref"], body, check_operation(body)))

    async def revoke(self, request: Request) -> Response:
        """`relay trust revoke`."""
        body = await body_of(request)
        return json_answer(await self._granting.revoke(request.path_params["ref"], check_operation(body)))

"""The routes of what may be run: `relay spawn --dry-run` and `relay agents`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from relay.broker.control.answers import body_of, json_answer
from relay.broker.control.tasks import caller_of
from relay.core.errors import Code, Misuse

if TYPE_CHECKING:
    from relay.broker.broker import Broker

Endpoint = Callable[[Request], Awaitable[Response]]


class TrialControl:
    """The endpoint over one broker.

    Args:
        broker: reads orders, and asks.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    @property
    def routes(self) -> list[tuple[str, str, Endpoint]]:
        """Method, path and endpoint of each."""
        return [("POST", "trials", self.trial), ("GET", "agents", self.agents)]

    async def agents(self, request: Request) -> Response:
        """What each broker can run, or the one that is named."""
        return json_answer(await self._broker.queueing.offered.listing(request.query_params.get("broker") or None))

    async def trial(self, request: Request) -> Response:
        """What would become of a spawn; the body is that of one."""
        body = await body_of(request)
        every = body.get("every")
        if every is not None and not isinstance(every, str):
            raise Misuse("how often?", code=Code.BAD_TIME, hint="--every 6h   or   --every '30 2 * * *'")
        order = await self._broker.ordered(body, caller_of(request))
        every = None if every is None else " ".join(every.split())
        return json_answer(await self._broker.queueing.trials.of(order, every))

"""What spawns changed, handed to who pulls it, and the folders that they worked in, cleaned up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from relay.broker.blobs.orders import absolute
from relay.broker.control.answers import OTHER_VERSION, body_of, json_answer, line, stream
from relay.broker.orders import check_operation
from relay.core.errors import Misuse

if TYPE_CHECKING:
    from relay.broker.broker import Broker

Endpoint = Callable[[Request], Awaitable[Response]]


class TreeControl:
    """The endpoints over one broker's trees.

    Args:
        broker: whose.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    @property
    def routes(self) -> list[tuple[str, str, Endpoint]]:
        """Method, path and endpoint of each."""
        return [
            ("POST", "spawns/{ref}/tree", self.tree),
            ("GET", "spawns/{ref}/diff", self.diff),
            ("POST", "clean", self.clean),
        ]

    async def tree(self, request: Request) -> Response:
        """`relay diff` and `relay pull`: the bundles of a spawn, into a folder of the client's."""
        body = await body_of(request)
        check_operation(body)
        row = await self._broker.queueing.elsewhere.kept(request.path_params["ref"], "diff")
        folder = absolute(body.get("to"), "the folder to write to")
        return await stream(_lines(self._broker.results.tree_writing.write(row, folder)))

    async def diff(self, request: Request) -> Response:
        """What a spawn changed, for the dashboard to show."""
        row = await self._broker.queueing.elsewhere.kept(request.path_params["ref"], "diff")
        return json_answer(await self._broker.results.differences.of(row))

    async def clean(self, request: Request) -> Response:
        """`relay clean`."""
        body = await body_of(request)
        check_operation(body)
        older = body.get("older_s")
        if type(older) not in (int, float) or not 0 <= older < 2**40:  # type: ignore[operator]
            raise Misuse("how old?", why="it is a number of seconds, at least 0", hint=OTHER_VERSION)
        now = self._broker.journal.clock()
        return json_answer(await self._broker.results.cleaning.clean(float(older), body.get("trial") is True, now))  # type: ignore[arg-type]


async def _lines(found: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    async for each in found:
        yield line(each)

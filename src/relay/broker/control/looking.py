"""The routes of lists: what a person looks at, and what happened since they last did."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from relay.broker.control.answers import OTHER_VERSION, json_bytes
from relay.broker.lists import Lists
from relay.core.errors import Misuse

if TYPE_CHECKING:
    from relay.broker.broker import Broker
    from relay.core.ids import BrokerId
    from relay.store.spawn_rows import SpawnRow

Endpoint = Callable[[Request], Awaitable[Response]]
MOST_ENDED = 200
MOST_DIGITS = 15
AT_ONCE = 25  # some 3 ms: a request takes several turns of the loop, and each would wait for one slice
SHORT, PAUSE_S = 200, 0.001  # a longer list leaves the interpreter to the store's writer in between


class LookingControl:
    """The endpoints over one broker's lists."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._lists = Lists(broker.store, broker.members)

    @property
    def routes(self) -> list[tuple[str, str, Endpoint]]:
        """Method, path and endpoint of each."""
        return [
            ("GET", "spawns", self.spawns),
            ("GET", "listing", self.listing),
            ("GET", "queue", self.queue),
            ("GET", "away", self.away),
        ]

    async def spawns(self, request: Request) -> Response:
        """The spawns of a list and nothing else."""
        found = await self._lists.found(self._lists.read(request.query_params))
        return _answer(await self._lines(found.rows))

    async def listing(self, request: Request) -> Response:
        """`relay ps`: the same, with how many there are, and where the events go on from.

        With `around` also what other brokers run for others, as they tell it now, and who of them told nothing.
        """
        asked = self._lists.read(request.query_params)
        found = await self._lists.found(asked)
        silent: dict[BrokerId, str] = {}
        if request.query_params.get("around") in ("1", "true"):
            around = await self._broker.queueing.elsewhere.around(request.query_params, asked, found)
            found, silent = around.found, around.silent
        told: dict[str, Any] = {"matched": found.matched, "exact": found.exact, "seq": found.seq}
        told["silent"] = [self._broker.members.label(each) | {"why": why} for each, why in silent.items()]
        return _answer(b'{"spawns":' + await self._lines(found.rows) + b"," + json_bytes(told)[1:])

    async def queue(self, request: Request) -> Response:
        """`relay queue`."""
        return _answer(await self._lines(await self._lists.unfinished(request.query_params)))

    async def away(self, request: Request) -> Response:
        """Bare `relay`."""
        seq, since = _whole(request, "seq"), _whole(request, "since") or 0
        found = await self._lists.away(seq, since, MOST_ENDED)
        needing, ended = await self._lines(found.needing), await self._lines(found.ended)
        told = {"going_on": found.going, "unreachable": await self._broker.unseen(), "seq": found.seq}
        return _answer(b'{"needs_you":' + needing + b',"ended":' + ended + b"," + json_bytes(told)[1:])

    async def _lines(self, rows: list[SpawnRow]) -> bytes:
        """The JSON of a list, made in pieces: of thousands it takes half a second, in which others are to be heard."""
        why = await self._broker.queueing.reasons.of(rows)
        pieces = []
        for begin in range(0, len(rows), AT_ONCE):
            lines = [self._broker.views.line(row, why.get(row.id, "")) for row in rows[begin : begin + AT_ONCE]]
            pieces.append(json_bytes(lines)[1:-1])
            await asyncio.sleep(0 if begin < SHORT else PAUSE_S)
        return b"[" + b",".join(pieces) + b"]"


def _answer(document: bytes) -> Response:
    return Response(document, media_type="application/json")


def _whole(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS):
        raise Misuse(f"{name} is no number", hint=OTHER_VERSION)
    return int(text)

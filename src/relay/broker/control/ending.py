"""The routes of what is to end: stop, and the wait for the first of many."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from relay.api.ending_routes import MOST_AWAITED
from relay.broker.control.answers import OTHER_VERSION, body_of, json_answer
from relay.broker.once_more import wanted
from relay.broker.orders import check_operation
from relay.broker.steer_taking import STOP
from relay.core.errors import Misuse
from relay.core.states import NEEDS_A_PERSON, TERMINAL
from relay.store import steers
from relay.store.spawn_rows import SpawnRow
from relay.store.steers import Steer

if TYPE_CHECKING:
    from relay.broker.broker import Broker

MAX_WAIT_S = 300.0
Endpoint = Callable[[Request], Awaitable[Response]]
Show = Callable[[SpawnRow], Awaitable[dict[str, Any]]]


class EndingControl:
    """The endpoints over one broker's spawns.

    Args:
        broker: carries out what is asked.
        show: one spawn as clients see it.
    """

    def __init__(self, broker: Broker, show: Show) -> None:
        self._broker = broker
        self._show = show

    @property
    def routes(self) -> list[tuple[str, str, Endpoint]]:
        """Method, path and endpoint of each."""
        return [("POST", "spawns/{ref}/stop", self.stop), ("GET", "waits", self.waits)]

    async def stop(self, request: Request) -> Response:
        """`relay stop`."""
        body = await body_of(request)
        by = str(body.get("requested_by") or "a request")[:128]
        operation = check_operation(body)
        before = await self._broker.queueing.elsewhere.find(request.path_params["ref"])
        again = await self._wanted(before)
        if await self._broker.queueing.elsewhere.is_known(before):
            row = await self._broker.requests.stop(before.id, operation, by)
        else:
            row = await self._stop_elsewhere(before, operation, by)
        is_taken_back = bool(again) and await self._are_over(again)
        told = {"state": self._stands(before, row, bool(again), is_taken_back), "before": str(before.state)}
        return json_answer(await self._show(row) | {"stop": told})

    async def _are_over(self, asked: list[Steer]) -> bool:
        """Whether none of this comes to anything any more."""
        now = [await self._broker.store.one(steers.BY_OPERATION, operation=each.operation) for each in asked]
        return all(each is not None and each.error for each in now)

    async def _wanted(self, row: SpawnRow) -> list[Steer]:
        """What was asked of a spawn that has ended, to run once more, and is not answered."""
        if row.state not in TERMINAL:
            return []
        return wanted(await self._broker.store.all(steers.UNANSWERED, spawn=row.id))

    async def _stop_elsewhere(self, row: SpawnRow, operation: str, by: str) -> SpawnRow:
        """A spawn that this broker only looks at: its target is asked, and says whether it may be."""
        if row.state in TERMINAL:
            return row
        await self._broker.queueing.steering.elsewhere(row, STOP, {}, operation, by)
        return await self._broker.queueing.elsewhere.now(row)

    def _stands(self, before: SpawnRow, row: SpawnRow, again: bool, is_taken_back: bool) -> str:
        if before.state in TERMINAL and not again:
            return "ended_before"
        if is_taken_back:
            return "not_started"
        if row.state not in TERMINAL or again:
            return "asked" if self._broker.views.is_in_reach(row.target) else "queued"
        return "stopped" if row.attempt else "not_started"

    async def waits(self, request: Request) -> Response:
        """`relay wait`, of many."""
        refs = [ref for ref in request.query_params.get("of", "").split(",") if ref]
        if not 0 < len(refs) <= MOST_AWAITED:
            raise Misuse("which spawns?", why=f"from 1 to {MOST_AWAITED} at a time", hint="relay wait ID...")
        seconds = _seconds(request.query_params.get("seconds", "30"))
        rows = [await self._broker.queueing.elsewhere.find(ref) for ref in refs]
        await self._first(rows, seconds)
        return json_answer([await self._show(await self._now(row)) for row in rows])

    async def _first(self, rows: list[SpawnRow], seconds: float) -> None:
        """Wait until one of them has ended, has come to need a person, or the seconds are over."""
        with contextlib.ExitStack() as stack:
            watches = [stack.enter_context(self._broker.hub.watching(row.id)) for row in rows]
            # watched before it is looked at, so that no end can be missed
            now = [await self._now(row) for row in rows]
            if any(row.state in TERMINAL for row in now):
                return
            tasks = [asyncio.ensure_future(watch.next(seconds)) for watch in watches]
            elsewhere = self._broker.queueing.elsewhere
            tasks += [
                asyncio.ensure_future(elsewhere.until(row, TERMINAL | NEEDS_A_PERSON, seconds))
                for row in now
                if not await elsewhere.is_known(row)
            ]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _now(self, row: SpawnRow) -> SpawnRow:
        return await self._broker.queueing.elsewhere.now(row)


def _seconds(given: object) -> float:
    try:
        seconds = float(given)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise Misuse("the seconds to wait are no number", hint=OTHER_VERSION) from None
    if not 0 <= seconds <= MAX_WAIT_S:
        raise Misuse(
            "the seconds to wait are out of range", why=f"they lie between 0 and {MAX_WAIT_S:g}", hint=OTHER_VERSION
        )
    return seconds

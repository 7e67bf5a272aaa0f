"""Questions to the broker of this machine that outlive its restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar

from relay.api import routes
from relay.core.errors import Code, RelayError, Unreachable, from_json

if TYPE_CHECKING:
    from relay.api.aclient import AsyncClient
    from relay.api.routes import Call

Answer = TypeVar("Answer")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0
LATE_S = 1.0  # an answer that was asked for until a moment may take so much longer


class Asking:
    """A client that waits for a broker that is away.

    A request that may have been taken before the broker went is sent again with its operation id: it acts once.

    Args:
        client: asks.
        patience_s: for how long a broker that is away is waited for; None for ever.
    """

    def __init__(self, client: AsyncClient, patience_s: float | None) -> None:
        self._client = client
        self._patience_s = patience_s

    async def ask(self, call: Call[Answer], until: float | None = None) -> Answer:
        """The answer to a call.

        Args:
            call: what is asked.
            until: when it is of no use any more, by the loop's clock; None for never.

        Raises:
            RelayError: what the broker answered; or it is away and was not back in time.
            TimeoutError: the moment has come.
        """
        async with asyncio.timeout_at(None if until is None else until + LATE_S):
            while True:
                try:
                    return await self._client.ask(call)
                except Unreachable as fault:
                    await self._until_back(fault)

    async def lines(
        self, call: Callable[[int | None], Call[Answer]], start: int | None, key: str
    ) -> AsyncGenerator[Answer, None]:
        """The lines of a stream, each once; after a restart they go on where they stood. Ends when the broker ends it.

        Args:
            call: the request, from a number on.
            start: the first number; None where the request says by itself where to begin.
            key: the field of a line with the number to go on from.

        Raises:
            RelayError: what the broker answered; or it is away and was not back in time.
        """
        at = start
        while True:
            try:
                async with aclosing(self._client.lines(call(at))) as lines:
                    async for line in lines:
                        at = _number(line, key, at)
                        yield line
                return
            except Unreachable as fault:
                await self._until_back(fault)

    async def _until_back(self, fault: Unreachable) -> None:
        """Wait until the broker answers; raise this fault where it does not, or was no absence."""
        if fault.code is not Code.NOT_RUNNING:
            raise fault
        pause_s = FIRST_PAUSE_S
        try:
            async with asyncio.timeout(self._patience_s):
                while not await self._answers():
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        except TimeoutError:
            raise fault from None

    async def _answers(self) -> bool:
        try:
            await self._client.ask(routes.status())
        except Unreachable:
            return False
        return True


def _number(line: Any, key: str, at: int | None) -> int | None:
    if "error" in line and key not in line:
        raise from_json(line["error"])
    found = line.get(key, at)
    return None if found is None else int(found)


def too_late(what: str, why: str, hint: str) -> RelayError:
    """The error for what was waited for and has not come in time; it goes on."""
    return Unreachable(what, code=Code.WAIT_TIMEOUT, why=why, hint=hint)

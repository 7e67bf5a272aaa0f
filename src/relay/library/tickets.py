"""A call of a tool or runner that was made, and may be waited for at once, later, or by another program."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from relay.api import tool_routes
from relay.api.person import person
from relay.library import given
from relay.library.answers import Answer, Called
from relay.library.asking import Asking, too_late

if TYPE_CHECKING:
    from relay.api.routes import Call

LONGEST_WAIT_S = 30.0


class Ticket:
    """One call.

    Args:
        asking: asks the broker of this machine.
        last: how it stood when it was last looked at.

    Attributes:
        last: the same, by each method that hears of it.
    """

    def __init__(self, asking: Asking, last: Called) -> None:
        self._asking = asking
        self.last = last

    def __repr__(self) -> str:
        return f"Ticket({self.last.tool!r} on {self.last.broker}, {self.id}, {self.last.state})"

    @property
    def id(self) -> str:
        """The call's id: `Mesh.ticket` makes this again, in this program or another one."""
        return self.last.id

    async def look(self) -> Called:
        """How it stands now.

        Raises:
            RelayError: nobody can say.
        """
        return await self._seen(tool_routes.call_shown(self.id))

    async def _seen(self, call: Call[Any], until: float | None = None) -> Called:
        self.last = Called.of(await self._asking.ask(call, until))
        return self.last

    async def wait(self, timeout: float | None = None) -> Answer:
        """What it came to, whatever that is. A restart of the broker is waited through.

        Args:
            timeout: seconds; None for as long as it takes.

        Raises:
            RelayError: `wait_timeout`: it goes on; or the broker of this machine is away for too long.
        """
        loop = asyncio.get_running_loop()
        seconds = given.number("the timeout", timeout)
        until = None if seconds is None else loop.time() + seconds
        while not self.last.has_ended:
            left = LONGEST_WAIT_S if until is None else until - loop.time()
            if left <= 0:
                raise self._late(timeout)
            try:
                await self._seen(tool_routes.call_shown(self.id, round(min(left, LONGEST_WAIT_S), 3)), until)
            except TimeoutError:
                raise self._late(timeout) from None
        return Answer.of_end(self.last)

    def _late(self, timeout: float | None) -> Exception:
        what = f"{self.last.tool} on {self.last.broker} has not ended within {timeout:g} s"
        why = f"{self.last.state}" + (f": {self.last.reason}" if self.last.reason else "")
        return too_late(what, why, f"await mesh.ticket({self.id!r}), and wait for that")

    async def stop(self) -> Called:
        """Have it end; how it stood when that had been asked for: `wait` has its end.

        Raises:
            RelayError: it could not be asked for.
        """
        return await self._seen(tool_routes.stop_call(self.id, requested_by=person()))

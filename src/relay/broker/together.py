"""A task group that leaves the task it is in as it was.

asyncio's own ends its wait by a cancellation of that task when a member fails, and does not take the request back
(seen in 3.11). In Python 3.11.2, which Debian 12 has, every timeout that runs out in that task from then on is taken
for a cancellation: what dials a member ended with the first link that broke, and never dialled it again.
"""

from __future__ import annotations

import asyncio
from types import TracebackType


class Together(asyncio.TaskGroup):
    """As `asyncio.TaskGroup`; what it raises stands for the cancellations that led to it."""

    _before = 0

    async def __aenter__(self) -> Together:
        """Begin."""
        self._before = _task().cancelling()
        await super().__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for all of them."""
        try:
            await super().__aexit__(kind, fault, trace)
        except BaseExceptionGroup:
            while _task().cancelling() > self._before:
                _task().uncancel()
            raise


def _task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None
    return task

"""Who waits for the end of a call, on the loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from relay.store.call_rows import CallRow


class Waiters:
    """Wakes whoever waits for a call once it has ended."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[CallRow | None]]] = {}

    def tell(self, row: CallRow) -> None:
        """A call has changed."""
        if not row.is_live:
            for each in self._waiting.get(row.id, ()):
                if not each.done():
                    each.set_result(row)

    @contextlib.contextmanager
    def watch(self, call: str) -> Iterator[asyncio.Future[CallRow | None]]:
        """What is done once a call ends during the block; None where the broker stops. It may have ended before."""
        mine: asyncio.Future[CallRow | None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(call, set())
        waiting.add(mine)
        try:
            yield mine
        finally:
            waiting.discard(mine)
            if not waiting:
                self._waiting.pop(call, None)

    def close(self) -> None:
        """Let everybody go."""
        for waiting in list(self._waiting.values()):
            for each in waiting:
                if not each.done():
                    each.set_result(None)

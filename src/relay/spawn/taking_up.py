"""What becomes of an attempt whose work here failed, for want of memory or by a defect: it is taken up again.

The folder tells what became of an attempt, to who starts anew after a crash and to who goes on after a failure alike.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from relay.core.states import IN_HAND
from relay.spawn.beginning import Beginning
from relay.store.engine import Store
from relay.store.spawn_rows import BY_ID, SpawnRow

FIRST_S, LONGEST_S = 2.0, 300.0
_log = logging.getLogger(__name__)


async def carried_out(
    work: Callable[[], Awaitable[None]],
    row: SpawnRow,
    store: Store,
    resume: Callable[[SpawnRow], Awaitable[None]],
    beginning: Beginning | None = None,
) -> None:
    """Do the work on an attempt; where it fails it is taken up again, after ever longer pauses.

    Args:
        work: to be done.
        row: the attempt's spawn.
        store: where it is looked whether the attempt is still in hand.
        resume: takes it up as after a crash.
        beginning: where it may not come to be.
    """
    pause = FIRST_S
    while True:
        try:
            return await work()
        except MemoryError:
            _log.error("there is no memory for the work on %s; it is taken up again in %g s", row.id, pause)
        except Exception:
            _log.exception("work on %s failed; it is taken up again in %g s", row.id, pause)
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_S)
        if beginning is not None:
            if not await beginning.is_to_be():
                return
            beginning.give_up()
        work = partial(_taken_up, row, store, resume)


async def _taken_up(row: SpawnRow, store: Store, resume: Callable[[SpawnRow], Awaitable[None]]) -> None:
    now = await store.one(BY_ID, id=row.id)
    if now is not None and now.state in IN_HAND and now.attempt == row.attempt:
        await resume(now)


def tell_failure(task: asyncio.Task[None]) -> None:
    """Log what other work on a spawn failed by."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("work on a spawn failed; it is taken up at the next start", exc_info=error)

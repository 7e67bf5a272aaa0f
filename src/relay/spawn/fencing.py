"""What follows where an attempt was fenced: nothing of it was started, and the next one may be."""

from __future__ import annotations

from collections.abc import Callable

from relay.core.states import State
from relay.spawn.ledger import Ledger, Step
from relay.spawn.outcome import Outcome, never_began
from relay.spawn.waiting_room import WaitingRoom
from relay.store import attempts
from relay.store.journal import Entry
from relay.store.spawn_rows import SpawnRow

MOST_FENCED = 5
Over = Callable[[Entry, SpawnRow, Outcome], None]


def after_fence(entry: Entry, row: SpawnRow, ledger: Ledger, room: WaitingRoom, over: Over) -> None:
    """Have a spawn wait for its next attempt, unless it was to stop, or this happens again and again.

    Args:
        entry: the transaction.
        row: the spawn.
        ledger: takes the step.
        room: where it waits.
        over: ends it, or has it tried again where retries are left.
    """
    if row.stop_requested is not None:
        ledger.step(entry, row, Step(State.CANCELLED, "stopped before it started"))
    elif (fenced := attempts.FENCED_OF_LATE.one(entry.tx, spawn=row.id) or 0) >= MOST_FENCED:
        over(entry, row, never_began(row.id, fenced, entry.now))
    else:
        room.wait(entry, row, "its start was cut off before it began; it starts again")

"""What an attempt leaves for its origin, once its process tree has ended: what it changed, and the files asked for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Self

from relay.spawn.collecting import Collecting, without_files
from relay.spawn.ledger import Ledger
from relay.spawn.outcome import Outcome
from relay.spawn.waiting_room import WaitingRoom
from relay.spawn.worktrees.workshop import Workshop
from relay.store.journal import Entry
from relay.store.spawn_rows import SpawnRow


class Remains:
    """Looks after both.

    Args:
        collecting: the files (`--collect`).
        workshop: the place (`--repo`, `--here`).
    """

    def __init__(self, collecting: Collecting, workshop: Workshop) -> None:
        self.collecting = collecting
        self.workshop = workshop
        self._busy: set[asyncio.Task[Any]] = set()
        self._closed = False

    @classmethod
    def at(cls, worktrees: Path) -> Self:
        """With places below this folder."""
        return cls(Collecting(), Workshop(worktrees))

    def take_part(self, room: WaitingRoom, ledger: Ledger) -> None:
        """Let nothing start whose tree is not here, and be told of every end."""
        room.lacks.append(self.workshop.missing)
        ledger.on_end.append(self.workshop.ended)

    async def open(self) -> None:
        """Clear up after a broker that was killed; before any attempt is taken up."""
        await self.workshop.open()

    async def of(self, row: SpawnRow, outcome: Outcome) -> Outcome:
        """The outcome with all that is to come back, and with what is to be said of what is not.

        Args:
            row: with the directory it ran in.
            outcome: how its attempt ended, its tree gone.
        """
        outcome = await self.collecting.collected(row, outcome)
        if row.wishes.place is None:
            return outcome
        if self._closed:
            await asyncio.Event().wait()  # until this is cancelled: the next start finds the exit record, and goes on
        task = asyncio.current_task()
        assert task is not None
        self._busy.add(task)
        try:
            return await self.workshop.brought_back(row, outcome)
        finally:
            self._busy.discard(task)

    def settle(self, entry: Entry, row: SpawnRow, outcome: Outcome, is_last: bool) -> None:
        """In the transaction of an attempt's end: the files kept for it from now on are those that its outcome lists.

        Args:
            entry: the transaction.
            row: the spawn.
            outcome: of the attempt.
            is_last: whether no other attempt follows; else nobody asks for what it left.
        """
        self.collecting.settle(entry, row, outcome if is_last else without_files(outcome))

    async def close(self) -> None:
        """Begin nothing more; what is under way is left for the next start."""
        self._closed = True
        for task in self._busy:
            task.cancel()
        await self.collecting.close()
        await self.workshop.close()
        await asyncio.gather(*self._busy, return_exceptions=True)

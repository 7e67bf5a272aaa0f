"""Typing into running tasks: what was accepted is on disk and numbered, so that a restart types nothing twice."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from relay.core.errors import Code, LocalFault, Misuse, Refused
from relay.core.states import State
from relay.spawn.door import InputClosed
from relay.store import questions
from relay.store.journal import Entry, Journal
from relay.store.questions import UNFED, WITH_UNFED, Input
from relay.store.spawn_rows import BY_ID, SpawnRow

MOST_UNFED = 1024 * 1024
MOST_SHUT = 1_000
RETRY_S = 1.0
Feed = Callable[[Path, int, bytes], Awaitable[None]]
_log = logging.getLogger(__name__)


class Feeding:
    """Gives tasks what was sent to them.

    Args:
        journal: what is kept.
        folder: of an attempt, by spawn and number.
        feed: hands bytes to the attempt's shim, once for each number.
    """

    def __init__(self, journal: Journal, folder: Callable[[str, int], Path], feed: Feed) -> None:
        self._journal = journal
        self._folder = folder
        self._feed = feed
        self._work: dict[str, asyncio.Task[None]] = {}
        self._more: set[str] = set()
        self._shut: dict[tuple[str, int], None] = {}  # in the order in which it was found

    def accept(self, entry: Entry, row: SpawnRow, data: bytes) -> None:
        """Keep what is to be typed into a running spawn; it is typed after the commit.

        Raises:
            Refused: `too_many`: the task does not read what it was sent before.
            LocalFault: `input_closed`: it took none of that, and will take none of this.
        """
        if (row.id, row.attempt) in self._shut:
            raise _shut(row)
        if questions.unfed_bytes(entry.tx, row.id, row.attempt) + len(data) > MOST_UNFED:
            raise Refused(
                f"{row.name} has not read what it was sent before",
                code=Code.TOO_MANY,
                why=f"{MOST_UNFED} bytes wait for it",
                hint=f"relay logs {row.id} -f",
            )
        questions.type_in(entry.tx, row.id, row.attempt, data, entry.now)
        entry.then(lambda: self._soon(row.id, row.attempt))

    async def recover(self) -> None:
        """Go on with what an earlier run of this broker accepted."""
        for spawn, attempt in await self._journal.store.all(WITH_UNFED):
            self._soon(spawn, attempt)

    def close(self) -> None:
        """Stop; what was not typed is kept."""
        for task in self._work.values():
            task.cancel()

    def _soon(self, spawn: str, attempt: int) -> None:
        if spawn in self._work:
            self._more.add(spawn)
            return
        task = asyncio.get_running_loop().create_task(self._type(spawn, attempt))
        self._work[spawn] = task
        task.add_done_callback(lambda done: self._done(done, spawn, attempt))

    def _done(self, task: asyncio.Task[None], spawn: str, attempt: int) -> None:
        del self._work[spawn]
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            _log.error("typing into %s failed; it is tried again at the next start", spawn, exc_info=error)
        elif spawn in self._more:
            self._more.discard(spawn)
            self._soon(spawn, attempt)

    async def _type(self, spawn: str, attempt: int) -> None:
        folder = self._folder(spawn, attempt)
        for each in await self._journal.store.all(UNFED, spawn=spawn, attempt=attempt):
            taken = await self._is_taken(folder, each)
            await self._told(spawn, attempt, each.n, taken=taken)

    async def _is_taken(self, folder: Path, what: Input) -> bool:
        while True:
            try:
                await self._feed(folder, what.n, what.data)
                return True
            except (LocalFault, Misuse) as fault:
                if not await self._is_starting(what):
                    # it has ended or closed its input: what it does not take now it never will
                    _log.warning("%s takes no input: %s", what.spawn, fault.message)
                    if isinstance(fault, InputClosed):
                        self._note_shut(what.spawn, what.attempt)
                    return False
            await asyncio.sleep(RETRY_S)

    def _note_shut(self, spawn: str, attempt: int) -> None:
        self._shut[spawn, attempt] = None
        while len(self._shut) > MOST_SHUT:
            del self._shut[next(iter(self._shut))]

    async def _is_starting(self, what: Input) -> bool:
        row = await self._journal.store.one(BY_ID, id=what.spawn)
        return row is not None and row.state is State.STARTING and row.attempt == what.attempt

    async def _told(self, spawn: str, attempt: int, n: int, *, taken: bool) -> None:
        def decide(entry: Entry) -> None:
            questions.fed(entry.tx, spawn, attempt, n, entry.now)
            entry.event("spawn.input", {"spawn": spawn, "attempt": attempt, "n": n, "taken": taken})

        await self._journal.commit(decide)


def _shut(row: SpawnRow) -> LocalFault:
    return LocalFault(
        f"{row.name} takes no input any more",
        code=Code.INPUT_CLOSED,
        why="what was sent to it before could not be typed: it has closed its standard input",
        hint=f"relay logs {row.id} -f",
    )

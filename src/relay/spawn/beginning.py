"""An attempt between the op that starts it and the commit of that: what may be done meanwhile is done.

A shim is asked for, and readies what the task needs, while the disk works. Nothing of that is on the disk, and nothing
starts by it. The attempt's folder is a spare that has not its name yet, and the shim waits for its lock, which the
broker holds. Once committed, the folder gets its name and the lock is let go, in this order; where it is not committed,
or the broker dies, the lock is let go and the name is not there, so that the shim lets go as well
(`shim/folder.await_lock`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relay.spawn.launcher import Asked, Launcher
    from relay.spawn.opened_record import OpenedRecord
    from relay.spawn.spares import Held

CALM = 4  # attempts that begin, beside which nothing is done ahead: it may be the processor that is waited for


class Underway:
    """The attempts that were admitted and are not known to have started, or ended, yet. What runs is none of them."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    @property
    def is_calm(self) -> bool:
        """Whether they are few enough for one more to be begun ahead."""
        return len(self._names) < CALM

    def add(self, name: str, attempt: asyncio.Task[None]) -> None:
        """One begins; `attempt` carries it out."""
        self._names.add(name)
        attempt.add_done_callback(lambda _: self.over(name))

    def over(self, name: str) -> None:
        """It has started, or will not."""
        self._names.discard(name)


class Ahead:
    """A shim that was asked for, and the folder for which it waits.

    Args:
        held: the folder.
        name: what it will be called.
        launcher: who was asked.
        asked: for what.
        record: of that folder.
    """

    def __init__(self, held: Held, name: str, launcher: Launcher, asked: Asked, record: OpenedRecord) -> None:
        self.record = record
        self._held = held
        self._name = name
        self._launcher = launcher
        self._asked = asked
        self._has_begun: bool | None = None

    def begin(self) -> bool:
        """Let the attempt begin, once; False where the folder could not be named, or it was dropped."""
        if self._has_begun is None:
            self._has_begun = self._held.take(self._name)
            self._part()
        return self._has_begun

    def drop(self) -> None:
        """Where it has not begun it never will: its shim is free again."""
        if self._has_begun is None:
            self._has_begun = False
            self._part()

    def _part(self) -> None:
        self._held.release()
        if not self._has_begun:
            self._launcher.forget(self._asked)
            self.record.close()

    async def shim(self) -> int:
        """The pid of its shim; returns, and raises, as `Launcher.launch`."""
        return await self._launcher.shim_of(self._asked)


class Beginning:
    """What is to be decided by a commit. Made on the loop.

    Args:
        is_stopping: whether it is to be stopped already: it begins in the way that tells its shim first.

    Attributes:
        ahead: what was done for it, where something could be.
    """

    def __init__(self, is_stopping: Callable[[], bool]) -> None:
        self.ahead: Ahead | None = None
        self._is_stopping = is_stopping
        self._decided: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def decide(self, is_to_be: bool) -> None:
        """It was committed, or was not."""
        if is_to_be and self.ahead is not None and not self._is_stopping():
            self.ahead.begin()
        if not self._decided.done():
            self._decided.set_result(is_to_be)

    def give_up(self) -> None:
        """Let go of what was done ahead and has not begun: the attempt is taken up by what its folder tells."""
        if self.ahead is not None:
            self.ahead.drop()

    async def is_to_be(self) -> bool:
        """Whether it is committed; waits until that is decided. What was done for nothing is undone."""
        is_to_be = False
        try:
            is_to_be = await self._decided
        finally:
            if self.ahead is not None and not is_to_be:
                self.ahead.drop()
        return is_to_be

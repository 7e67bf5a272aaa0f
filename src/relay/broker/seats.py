"""Who drives a task that several want to type into: one at a time, the others wait for it to be free again.

    wants it ─┬─ first time ──────────────────────────► drives; who did waits, first in line
              └─ goes on after a break ─┬─ was it itself that drove, or nobody ─► drives
                                        └─ somebody else drives ────────────────► waits, first in line
    the driver leaves ─► the first in line drives

Who goes on after a break is known by its source, which only it and the broker here know: what is left of its earlier
connection gives way at once, though nobody has noticed yet that it is dead.
"""

from __future__ import annotations

from typing import Protocol

from relay.core.ids import BrokerId


class Seated(Protocol):
    """One who wants to type."""

    origin: BrokerId
    title: str

    @property
    def source(self) -> bytes:
        """Who it is, over all its connections."""

    @property
    def goes_on(self) -> bool:
        """Whether it was there before."""

    def may_drive(self) -> bool:
        """Whether it may type, as it is granted now."""

    def replaced_by(self, title: str) -> None:
        """Another drives now."""

    def given_back(self) -> None:
        """It drives again."""

    def superseded(self) -> None:
        """The same one is there over another connection: this one is over."""


class Seats:
    """Of all tasks."""

    def __init__(self) -> None:
        self._drivers: dict[str, Seated] = {}
        self._lines: dict[str, list[Seated]] = {}

    def driver(self, spawn: str) -> Seated | None:
        """Who drives a spawn."""
        return self._drivers.get(spawn)

    def come(self, spawn: str, new: Seated) -> bool:
        """One comes that wants to type; whether it drives."""
        before = self._drivers.get(spawn)
        line = self._lines.setdefault(spawn, [])
        for each in [each for each in (before, *line) if each is not None and _is_same(each, new)]:
            self._remove(spawn, each)
            each.superseded()
        before_now = self._drivers.get(spawn)
        if new.goes_on and before_now is not None:
            line.append(new)
            return False
        self._drivers[spawn] = new
        if before_now is not None:
            line.append(before_now)
            before_now.replaced_by(new.title)
        return True

    def leave(self, spawn: str, gone: Seated, *, is_over: bool) -> None:
        """One is gone.

        Args:
            is_over: with it the task: nobody is to drive any more.
        """
        drove = self._drivers.get(spawn) is gone
        self._remove(spawn, gone)
        if drove and not is_over:
            self._offer(spawn)
        if spawn not in self._drivers and not self._lines.get(spawn):
            self._lines.pop(spawn, None)

    def _offer(self, spawn: str) -> None:
        line = self._lines.get(spawn, [])
        following = next((each for each in reversed(line) if each.may_drive()), None)
        if following is not None:
            line.remove(following)
            self._drivers[spawn] = following
            following.given_back()

    def _remove(self, spawn: str, gone: Seated) -> None:
        if self._drivers.get(spawn) is gone:
            del self._drivers[spawn]
        line = self._lines.get(spawn, [])
        if gone in line:
            line.remove(gone)


def _is_same(one: Seated, other: Seated) -> bool:
    return one is not other and (one.origin, one.source) == (other.origin, other.source)

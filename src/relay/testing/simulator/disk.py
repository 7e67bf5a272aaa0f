"""A simulated disk: operations run at its commit, their callers hear of it later, a crash loses the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from relay.core.spawning import Snapshot
from relay.core.statements import Statement
from relay.core.states import State
from relay.testing.simulator.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Mail:
    """An envelope: what a real one has after it was opened.

    Attributes:
        n: its id; no two are alike.
        origin, recipient: brokers, by number.
        kind: `spawn`, `stop`, `snapshot`; `receipt` and `roster` are not durable.
        operation: what its effect is deduped by.
        spawn: whom it is about.
        content: a snapshot, or what the kind has.
    """

    n: int
    origin: int
    recipient: int
    kind: str
    operation: str = ""
    spawn: str = ""
    content: Any = None


@dataclass(slots=True)
class Row:
    """An outbox row."""

    n: int
    mail: Mail
    raw: bytes
    tried: bool
    holder: int | None = None
    held_at: int = 0
    handed: int = 0


@dataclass(slots=True)
class Held:
    """An envelope that is kept for another broker."""

    n: int
    mail: Mail
    raw: bytes


@dataclass(slots=True)
class SpawnRow:
    """A spawn as its target has it."""

    id: str
    origin: int
    state: State = State.DELIVERED
    attempt: int = 0
    seq: int = 0


@dataclass(slots=True)
class Copy:
    """A spawn as its origin has it."""

    state: State = State.QUEUED
    order: tuple[int, int] = (0, 0)
    word: Snapshot | None = None


@dataclass(slots=True)
class Tables:
    """What is committed. Changed by operations only."""

    incarnation: int = 0
    last_n: int = 0
    outbox: dict[bytes, Row] = field(default_factory=dict)
    held: dict[int, Held] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)
    effects: set[tuple[int, str]] = field(default_factory=set)
    buried: set[str] = field(default_factory=set)
    spawns: dict[str, SpawnRow] = field(default_factory=dict)
    copies: dict[str, Copy] = field(default_factory=dict)
    statements: dict[bytes, Statement] = field(default_factory=dict)


Operation = Callable[[Tables], Any]
Then = Callable[[Any], None]


class Failed:
    """What a caller is told whose operation could not be committed."""


FAILED = Failed()


class Disk:
    """One broker's disk, with group commit.

    Args:
        timeline: when things are committed.
        failing: the chance that a commit fails, for operations that may.
    """

    def __init__(self, timeline: Timeline, failing: float) -> None:
        self.tables = Tables()
        self.failing = failing
        self._timeline = timeline
        self._waiting: list[tuple[Operation, Then | None, bool]] = []
        self._busy = False
        self._life = 0
        self._told_at = 0

    def submit(self, operation: Operation, then: Then | None = None, *, may_fail: bool = False) -> None:
        """Run an operation with the next commit, and tell its caller some time after.

        Args:
            operation: changes the tables.
            then: called with its outcome, or with `FAILED`, unless the broker crashed.
            may_fail: whether a failing commit may befall it; what has no caller that tries again may not.
        """
        self._waiting.append((operation, then, may_fail))
        if not self._busy:
            self._busy = True
            self._timeline.after(self._timeline.between(0, 4), self._commit, self._life)

    def _commit(self, life: int) -> None:
        if life != self._life:
            return
        batch, self._waiting = self._waiting, []
        self._busy = False
        fails = bool(self.failing) and self._timeline.chance(self.failing)
        told = [(then, FAILED if fails and may_fail else operation(self.tables)) for operation, then, may_fail in batch]
        heard = [(then, outcome) for then, outcome in told if then is not None]
        if heard:
            # in the order of the commits: one thread writes, and one loop hears of it
            line = self._timeline
            self._told_at = max(self._told_at, line.now + line.between(0, 2))
            line.after(self._told_at - line.now, self._tell, life, heard)

    def _tell(self, life: int, heard: list[tuple[Then, Any]]) -> None:
        for then, outcome in heard:
            if life == self._life:
                then(outcome)

    def crash(self) -> None:
        """Lose what was not committed, and whoever waited."""
        self._life += 1
        self._waiting.clear()
        self._busy = False

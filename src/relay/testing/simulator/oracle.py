"""The oracle: sees all brokers at once, hears of every committed change, and knows what must never be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.core.spawning import Snapshot
from relay.core.states import TERMINAL, State
from relay.testing.simulator.disk import Copy, Mail

if TYPE_CHECKING:
    from relay.testing.simulator.broker import SimBroker


class Violation(AssertionError):
    """An invariant does not hold."""


class Oracle:
    """Checks invariants, most of them at the change that could break them.

    - accepted stays: an outbox row leaves by a receipt only after its recipient has it committed;
    - an effect happens at most once, and never for what its origin took back;
    - an attempt starts at most once;
    - a copy holds the target's own word, never an older one than before, and no end that the target did not say;
    - and when all is quiet: nothing waits, copies equal the originals, one link a pair, one roster.
    """

    def __init__(self) -> None:
        self.brokers: list[SimBroker] = []
        self.accepted: dict[str, tuple[int, int]] = {}
        self.withdrawn: set[str] = set()
        self.processes: dict[str, set[int]] = {}
        self.waiting = 0
        self.unfinished = 0
        self._effects: set[tuple[int, int, str]] = set()
        self._said: dict[str, dict[tuple[int, int], State]] = {}

    # heard at commits

    def posted(self) -> None:
        """A row entered an outbox."""
        self.waiting += 1

    def receipted(self, mail: Mail) -> None:
        """A row left an outbox by a receipt."""
        self.waiting -= 1
        if mail.n not in self.brokers[mail.recipient].disk.tables.seen:
            raise Violation(f"{mail} left its outbox, but {mail.recipient} never committed it")

    def withdrew(self, mail: Mail) -> None:
        """A row left an outbox unsent."""
        self.waiting -= 1
        self.withdrawn.add(mail.spawn)
        if mail.spawn in self.brokers[mail.recipient].disk.tables.spawns:
            raise Violation(f"{mail} was taken back, but {mail.recipient} has it")

    def acted(self, broker: int, mail: Mail) -> None:
        """An envelope had its effect."""
        effect = (broker, mail.origin, f"{mail.kind}/{mail.operation}")
        if effect in self._effects:
            raise Violation(f"{mail} had its effect twice")
        self._effects.add(effect)
        if mail.kind == "spawn":
            self.unfinished += 1
            if mail.spawn in self.withdrawn:
                raise Violation(f"{mail} acts, but its origin took it back")

    def said(self, word: Snapshot) -> None:
        """A target committed its word."""
        words = self._said.setdefault(word.spawn, {})
        if word.order in words:
            raise Violation(f"two words of one order: {word}")
        words[word.order] = word.state
        if word.state in TERMINAL:
            self.unfinished -= 1

    def started(self, spawn: str, attempt: int) -> None:
        """A process runs from now on."""
        attempts = self.processes.setdefault(spawn, set())
        if attempt in attempts:
            raise Violation(f"attempt {attempt} of {spawn} started twice")
        attempts.add(attempt)

    def copied(self, spawn: str, before: tuple[int, int], copy: Copy) -> None:
        """An origin's copy changed by a snapshot."""
        if copy.order <= before:
            raise Violation(f"the copy of {spawn} went back from {before} to {copy.order}")
        if self._said.get(spawn, {}).get(copy.order) is not copy.state:
            raise Violation(f"the copy of {spawn} says {copy.state} at {copy.order}, its target never did")

    # at any time

    def undelivered(self) -> list[Mail]:
        """What waits in an outbox and was not taken in; what was, and whose receipt is missing, is none of it."""
        rows = [row.mail for broker in self.brokers for row in broker.disk.tables.outbox.values()]
        return [mail for mail in rows if mail.n not in self.brokers[mail.recipient].disk.tables.seen]

    # when all is quiet

    @property
    def quiet(self) -> bool:
        """Whether nothing waits and nothing is unfinished."""
        return self.waiting == 0 and self.unfinished == 0

    def wrong_when_quiet(self) -> str:
        """What does not hold though the network is whole, everybody is up and nothing moves; empty where all does."""
        if not self.quiet:
            rows = [row.mail for broker in self.brokers for row in broker.disk.tables.outbox.values()]
            return f"still waiting: {rows}; {self.unfinished} spawns without an end"
        wrong = (self._wrong_copy(spawn, *ends) for spawn, ends in self.accepted.items())
        return next(filter(None, wrong), "") or next(filter(None, map(self._wrong_link, self.brokers)), "")

    def _wrong_copy(self, spawn: str, origin: int, target: int) -> str:
        copy = self.brokers[origin].disk.tables.copies[spawn]
        row = self.brokers[target].disk.tables.spawns.get(spawn)
        if row is None:
            taken_back = spawn in self.withdrawn and copy.state is State.CANCELLED
            return "" if taken_back else f"{spawn} was accepted and is nowhere; its origin says {copy.state}"
        same = (copy.state, copy.order) == (row.state, (row.attempt, row.seq))
        return "" if same else f"the copy of {spawn} is {copy}, the original {row}"

    def _wrong_link(self, broker: SimBroker) -> str:
        for other in self.brokers:
            if other is broker or broker.world.network.are_strangers(broker.number, other.number):
                continue
            mine = [link for link in broker.open_links if link.peer == other.number and link.is_up]
            theirs = other.links.get(broker.number)
            if len(mine) != 1 or theirs is None or mine[0].end.connection is not theirs.end.connection:
                return f"{broker.number} and {other.number} do not share one link"
        for other in self.brokers:
            if broker.head != other.head:
                return f"the rosters of {broker.number} and {other.number} differ"
        return ""

"""The target's side of a simulated spawn: the state table, its snapshots, and the recovery after a crash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.core.ids import BrokerId
from relay.core.spawning import Snapshot
from relay.core.states import TERMINAL, State, advance
from relay.testing.simulator.disk import Mail, SpawnRow

if TYPE_CHECKING:
    from relay.testing.simulator.broker import SimBroker
    from relay.testing.simulator.world import SimEntry

_S = State
# what follows what, the likelier ones more often; every pair of it goes through `advance`
_LIKELY: dict[State, tuple[State, ...]] = {
    _S.DELIVERED: (_S.WAITING, _S.STARTING, _S.STARTING, _S.HELD, _S.REJECTED),
    _S.HELD: (_S.WAITING, _S.WAITING, _S.EXPIRED),
    _S.WAITING: (_S.STARTING,),
    _S.STARTING: (_S.RUNNING, _S.RUNNING, _S.FAILED),
    # back to waiting: a retry
    _S.RUNNING: (_S.COMPLETED, _S.COMPLETED, _S.NEEDS_INPUT, _S.FAILED, _S.TIMED_OUT, _S.LOST, _S.WAITING),
    _S.NEEDS_INPUT: (_S.RUNNING, _S.RUNNING, _S.FAILED),
}


class Target:
    """Runs the spawns of one broker.

    Args:
        broker: whose.
    """

    def __init__(self, broker: SimBroker) -> None:
        self._broker = broker

    def spawn(self, entry: SimEntry, mail: Mail) -> None:
        """A spawn arrived."""
        row = entry.tables.spawns[mail.spawn] = SpawnRow(mail.spawn, mail.origin)
        if mail.spawn in entry.tables.buried:
            self._step(entry, row, State.CANCELLED)
        else:
            self._go_on(entry, row)

    def stop(self, entry: SimEntry, mail: Mail) -> None:
        """A stop arrived, perhaps before its spawn."""
        row = entry.tables.spawns.get(mail.spawn)
        if row is None:
            entry.tables.buried.add(mail.spawn)
        elif row.state not in TERMINAL:
            self._step(entry, row, State.CANCELLED)

    def recover(self) -> None:
        """After a crash: what never started is fenced, what runs is taken up again."""
        for row in self._broker.disk.tables.spawns.values():
            if row.state not in TERMINAL:
                self._work_on(row.id, row.seq)

    def _go_on(self, entry: SimEntry, row: SpawnRow) -> None:
        started = row.attempt in self._broker.oracle.processes.get(row.id, ())
        if row.state is State.STARTING and not started:
            self._step(entry, row, State.WAITING)
        else:
            self._step(entry, row, self._broker.line.random.choice(_LIKELY[row.state]))

    def _step(self, entry: SimEntry, row: SpawnRow, following: State) -> None:
        broker = self._broker
        row.state = advance(row.state, following)
        row.seq += 1
        row.attempt += following is State.STARTING
        now = broker.line.now
        word = Snapshot(row.id, BrokerId(str(broker.number)), row.attempt, row.seq, row.state, now, now)
        broker.oracle.said(word)
        broker.post(entry, row.origin, "snapshot", row.id, f"{row.id}.{row.attempt}.{row.seq}", word)
        if following is State.STARTING:
            entry.following.append(lambda attempt=row.attempt: broker.oracle.started(row.id, attempt))  # type: ignore[misc]
        if following not in TERMINAL:
            entry.following.append(lambda seq=row.seq: self._work_on(row.id, seq))  # type: ignore[misc]

    def _work_on(self, spawn: str, seq: int) -> None:
        broker = self._broker

        def decide(entry: SimEntry) -> None:
            row = entry.tables.spawns[spawn]
            if row.seq == seq:
                self._go_on(entry, row)

        broker.later(broker.line.between(1, 2_000), broker.commit, decide)

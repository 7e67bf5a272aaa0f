"""The target's word: each step of a spawn that this broker runs is one signed snapshot.

Only this file moves a spawn along the transition table. A step, its snapshot, its event and its envelope to
the origin are one journal entry.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.spawning import Snapshot, snapshot_from_bytes
from relay.core.states import NEEDS_A_PERSON, TERMINAL, State, advance
from relay.spawn.attempt import Started
from relay.spawn.outcome import Outcome
from relay.store import questions, spawns, words
from relay.store.journal import Entry, Letter
from relay.store.spawn_rows import SpawnRow
from relay.trust.identity import Identity
from relay.trust.sealing import sign_snapshot

SNAPSHOT_TTL = 30 * 86_400_000
TOLD_LATER = frozenset({State.WAITING, State.STARTING})


@dataclass(frozen=True, slots=True)
class Step:
    """What changes in a step.

    Attributes:
        state: where the spawn goes.
        reason: why, for people.
        attempt: which attempt it is about; None for the present one.
        cwd: the directory, as resolved here.
        started: milliseconds, once the task is past its exec.
        error: for an end that is no success and has no outcome.
        outcome: how the attempt ended.
        needs: what a person is asked, where the state is that one is needed.
    """

    state: State
    reason: str = ""
    attempt: int | None = None
    cwd: str | None = None
    started: int | None = None
    error: dict[str, Any] | None = None
    outcome: Outcome | None = None
    needs: dict[str, Any] | None = None


def ending(outcome: Outcome) -> Step:
    """The step to an attempt's end."""
    return Step(outcome.state, outcome.reason, outcome=outcome)


def running(started: Started) -> Step:
    """The step to a task that runs."""
    why = f"the machine is not kept awake: {started.not_awake}" if started.not_awake else ""
    return Step(State.RUNNING, why, started=started.at)


class Ledger:
    """Writes this broker's word on the spawns it runs.

    Args:
        identity: signs the snapshots.
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def step(self, entry: Entry, row: SpawnRow, step: Step) -> SpawnRow:
        """Move a spawn on, sign the word, keep it, tell the origin and the subscribers; the row as it is now.

        That it waits or starts is not told at once: the next word may follow in a moment, and implies it
        (`tell_latest`).

        Raises:
            IllegalTransition: the table has no such pair.
        """
        advance(row.state, step.state)
        snapshot = self._snapshot(row, step, entry.now)
        data = snapshot.to_bytes()
        signature = sign_snapshot(self._identity, data)
        spawns.apply_snapshot(entry.tx, snapshot, entry.now)
        now = spawns.after_word(row, snapshot, entry.now)
        self._keep(entry, snapshot, data, signature)
        if row.state in NEEDS_A_PERSON and step.state in TERMINAL:
            questions.close_all(entry.tx, row.id, entry.now, questions.ENDED)
        entry.event("spawn.state", state_event(snapshot), now)
        if step.state not in TOLD_LATER:
            self._tell(entry, row.origin, snapshot, data, signature)
        return now

    def tell_latest(self, entry: Entry, row: SpawnRow) -> None:
        """Tell the origin what was not told at once, if no later word has overtaken it."""
        word = words.LATEST.one(entry.tx, spawn=row.id)
        now = spawns.require(entry.tx, row.id)
        if word is not None and now.order == row.order == (word.attempt, word.seq):
            self._tell(entry, row.origin, snapshot_from_bytes(word.bytes), word.bytes, word.signature)

    def tell_buried(self, entry: Entry, origin: BrokerId, spawn: str, reason: str) -> None:
        """Tell an origin that a spawn, which has not come, will never start: the word that its coming would cause."""
        snapshot = Snapshot(spawn, self._identity.id, 0, 1, State.CANCELLED, entry.now, entry.now, reason)
        data = snapshot.to_bytes()
        signature = sign_snapshot(self._identity, data)
        self._keep(entry, snapshot, data, signature)
        self._tell(entry, origin, snapshot, data, signature)

    def _tell(self, entry: Entry, origin: BrokerId, snapshot: Snapshot, data: bytes, signature: bytes) -> None:
        if origin != self._identity.id:
            entry.post(self._letter(origin, snapshot, data, signature))

    def _snapshot(self, row: SpawnRow, step: Step, now: int) -> Snapshot:
        outcome = step.outcome
        base = Snapshot(
            spawn=row.id,
            target=self._identity.id,
            attempt=row.attempt if step.attempt is None else step.attempt,
            seq=row.seq + 1,
            state=step.state,
            at=now,
            since=now,
            reason=step.reason[:1000],
            cwd=step.cwd or row.ran_in,
            started=step.started or (row.started if step.attempt in (None, row.attempt) else None),
            error=step.error,
            needs=step.needs,
        )
        return base if outcome is None else _with_outcome(base, outcome, now)

    def _keep(self, entry: Entry, snapshot: Snapshot, data: bytes, signature: bytes) -> None:
        word = words.SignedWord(
            snapshot.spawn, snapshot.attempt, snapshot.seq, snapshot.state, snapshot.at, signature, data
        )
        words.keep(entry.tx, word)

    def _letter(self, origin: BrokerId, snapshot: Snapshot, data: bytes, signature: bytes) -> Letter:
        return Letter(
            recipient=origin,
            kind=Kind.SNAPSHOT,
            content={"snapshot": data, "signature": signature},
            operation=f"word/{snapshot.spawn}/{snapshot.attempt}/{snapshot.seq}",
            ttl=SNAPSHOT_TTL,
            spawn=snapshot.spawn,
        )


def _with_outcome(base: Snapshot, outcome: Outcome, now: int) -> Snapshot:
    return replace(
        base,
        started=outcome.started or base.started,
        ended=outcome.ended or now,
        exit_code=outcome.exit_code,
        signal=outcome.signal,
        result=outcome.result,
        error=outcome.error,
    )


def state_event(snapshot: Snapshot) -> dict[str, Any]:
    """What subscribers hear of a snapshot."""
    return {
        "spawn": snapshot.spawn,
        "state": str(snapshot.state),
        "reason": snapshot.reason,
        "attempt": snapshot.attempt,
        "exit_code": snapshot.exit_code,
        "broker": snapshot.target,
    }

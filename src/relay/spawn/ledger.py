"""The target's word: each step of a spawn that this broker runs is one signed snapshot.

Only this file moves a spawn along the transition table. A step, its snapshot, its event and its envelope to
the origin are one journal entry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.spawning import Snapshot, snapshot_from_bytes
from relay.core.states import NEEDS_A_PERSON, NOT_STARTED, TERMINAL, State, advance
from relay.core.tails import Tail
from relay.core.values import frozen
from relay.spawn.attempt import Started
from relay.spawn.outcome import Outcome, with_left
from relay.store import questions, queueing, schedules, spawns, tails, words
from relay.store.journal import Entry, Letter
from relay.store.spawn_rows import SpawnRow
from relay.trust.identity import Identity
from relay.trust.sealing import sign_snapshot

SNAPSHOT_TTL = 30 * 86_400_000
_END = ("started", "exit_code", "signal", "result", "error")
TOLD_LATER = frozenset({State.WAITING, State.STARTING})


@frozen
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
        tried: how an attempt ended that another one is to follow (`Snapshot.tried`).
        tail: the end of its output, to be sent along with the word.
    """

    state: State
    reason: str = ""
    attempt: int | None = None
    cwd: str | None = None
    started: int | None = None
    error: dict[str, Any] | None = None
    outcome: Outcome | None = None
    needs: dict[str, Any] | None = None
    tried: dict[str, Any] | None = None
    tail: Tail | None = None


def ending(outcome: Outcome, tail: Tail | None = None) -> Step:
    """The step to an attempt's end, with the end of its output where that is longer than the outcome's."""
    return Step(outcome.state, outcome.reason, outcome=outcome, tail=tail)


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
        self.on_end: list[Callable[[Entry, SpawnRow], None]] = []

    def step(self, entry: Entry, row: SpawnRow, step: Step) -> SpawnRow:
        """Move a spawn on, sign the word, keep it, tell the origin and the subscribers; the row as it is now.

        That it waits or starts is not told at once: the next word may follow in a moment, and implies it
        (`tell_latest`).

        Raises:
            IllegalTransition: the table has no such pair.
        """
        advance(row.state, step.state)
        # how an attempt ended is in this word alone: it must not be overtaken
        later = step.state in TOLD_LATER and step.tried is None
        word = self._snapshot(row, step, entry.now)
        if step.state in TERMINAL and (row.attempt > 1 or step.outcome is None):
            left = queueing.LEFT.one(entry.tx, spawn=row.id)
            word = replace(word, result=with_left(word.result, left, step.state, word.reason))
        now = self._say(entry, row, word, later=later, tail=step.tail)
        if now.state in TERMINAL:
            for told in self.on_end:
                told(entry, now)
        return now

    def reword(
        self, entry: Entry, row: SpawnRow, reason: str, needs: dict[str, Any] | None = None
    ) -> SpawnRow:
        """Say anew why a spawn stands where it does, and what a person is asked; the row as it is now."""
        step = Step(row.state, reason, started=row.started, needs=needs)
        return self._say(entry, row, replace(self._snapshot(row, step, entry.now), since=row.since))

    def _say(
        self, entry: Entry, row: SpawnRow, snapshot: Snapshot, *, later: bool = False, tail: Tail | None = None
    ) -> SpawnRow:
        data = snapshot.to_bytes()
        signature = sign_snapshot(self._identity, data)
        spawns.apply_snapshot(entry.tx, snapshot, entry.now)
        now = spawns.after_word(row, snapshot, entry.now)
        self._keep(entry, snapshot, data, signature)
        if row.state in NEEDS_A_PERSON and snapshot.state in TERMINAL:
            questions.close_all(entry.tx, row.id, entry.now, questions.ENDED)
        entry.event("spawn.state", state_event(snapshot), now)
        if not later:
            self._tell(entry, row, snapshot, data, signature, tail)
        return now

    def tell_latest(self, entry: Entry, row: SpawnRow) -> None:
        """Tell the origin what was not told at once, if no later word has overtaken it."""
        word = words.LATEST.one(entry.tx, spawn=row.id)
        now = spawns.require(entry.tx, row.id)
        if word is not None and now.order == row.order == (word.attempt, word.seq):
            self._tell(entry, row, snapshot_from_bytes(word.bytes), word.bytes, word.signature)

    def tell_buried(self, entry: Entry, origin: BrokerId, spawn: str, reason: str) -> None:
        """Tell an origin that a spawn, which has not come, will never start: the word that its coming would cause."""
        snapshot = Snapshot(spawn, self._identity.id, 0, 1, State.CANCELLED, entry.now, entry.now, reason)
        data = snapshot.to_bytes()
        signature = sign_snapshot(self._identity, data)
        self._keep(entry, snapshot, data, signature)
        entry.post(self._letter(origin, snapshot, {"snapshot": data, "signature": signature}))

    def _tell(
        self,
        entry: Entry,
        row: SpawnRow,
        snapshot: Snapshot,
        data: bytes,
        signature: bytes,
        tail: Tail | None = None,
    ) -> None:
        if row.origin == self._identity.id:
            return
        if tail is not None:
            tails.keep(entry.tx, row.id, tail)  # for the envelope that takes this one's place, should it expire
        entry.post(self._letter(row.origin, snapshot, content_of(entry, row, data, signature, tail)))

    def _snapshot(self, row: SpawnRow, step: Step, now: int) -> Snapshot:
        started = step.started or (row.started if _goes_on(row, step) else None)
        end = {"error": step.error} if step.outcome is None else _end_of(step.outcome, now)
        return Snapshot(
            spawn=row.id,
            target=self._identity.id,
            attempt=row.attempt if step.attempt is None else step.attempt,
            seq=row.seq + 1,
            state=step.state,
            at=now,
            since=now,
            reason=step.reason[:1000],
            cwd=step.cwd or row.ran_in,
            needs=step.needs,
            tried=step.tried,
            **{"started": started} | end,
        )

    def _keep(self, entry: Entry, snapshot: Snapshot, data: bytes, signature: bytes) -> None:
        word = words.SignedWord(
            snapshot.spawn, snapshot.attempt, snapshot.seq, snapshot.state, snapshot.at, signature, data
        )
        words.keep(entry.tx, word)

    def _letter(self, origin: BrokerId, snapshot: Snapshot, content: dict[str, Any]) -> Letter:
        return Letter(
            recipient=origin,
            kind=Kind.SNAPSHOT,
            content=content,
            operation=f"word/{snapshot.spawn}/{snapshot.attempt}/{snapshot.seq}",
            ttl=SNAPSHOT_TTL,
            spawn=snapshot.spawn,
        )


def content_of(
    entry: Entry, row: SpawnRow | None, data: bytes, signature: bytes, tail: Tail | None = None
) -> dict[str, Any]:
    """The body of a word's envelope, with the mark of what has not started: others than its origin may set it.

    A schedule's run brings along what its origin needs to know of it.
    """
    content: dict[str, Any] = {"snapshot": data, "signature": signature}
    if row is not None and row.state in NOT_STARTED:
        content["paused"] = None if row.paused is None else {"at": row.paused, "by": row.paused_by or ""}
    if tail is not None:
        content["tail"] = tail.to_content()
    if row is not None and row.schedule is not None:
        run = {"schedule": row.schedule, "created": row.created, "expires": row.expires}
        following, skipped = (each.one(entry.tx, id=row.schedule) for each in (schedules.NEXT_OF, schedules.SKIPPED_OF))
        content["run"] = run | {"next": following, "skipped": skipped}
    return content


def _goes_on(row: SpawnRow, step: Step) -> bool:
    """Whether the attempt that the row knows of is the one that the step is about."""
    return step.attempt in (None, row.attempt) and step.state is not State.WAITING


def _end_of(outcome: Outcome, now: int) -> dict[str, Any]:
    names = ("exit_code", "signal", "result", "error") if not outcome.started else _END
    return {name: getattr(outcome, name) for name in names} | {"ended": outcome.ended or now}


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

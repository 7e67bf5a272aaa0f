"""The target's word on calls: each step of a call that this broker runs, kept and told to its origin.

Only this file moves a call along the transition table. A step, its event and its envelope are one journal entry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from relay.broker.tools.waiters import Waiters
from relay.core.calls import MAX_REASON, Outcome, Piece, Word, pieces_of
from relay.core.errors import LocalFault
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.states import TERMINAL, State, advance
from relay.core.values import frozen
from relay.store import calls, outbox
from relay.store.call_rows import BY_ID, CallRow
from relay.store.journal import Entry, Journal, Letter

WORD_TTL = 30 * 86_400_000
LATER_S = 0.15
"""That a call waits or runs is told after this, unless its end has overtaken it: most calls are over by then."""
_TOLD_LATER = frozenset({State.WAITING, State.STARTING, State.RUNNING})


@frozen
class Step:
    """What changes in a step.

    Attributes:
        state: where the call goes.
        reason: why, for people.
        outcome: what the runner said, at its end.
        result: JSON of what came of it.
        error: for an end that is no success.
    """

    state: State
    reason: str = ""
    outcome: Outcome | None = None
    result: bytes | None = None
    error: dict[str, Any] | None = None


class CallLedger:
    """Writes this broker's word on the calls it runs.

    Args:
        own: this broker.
        waiters: told of each change.
    """

    def __init__(self, own: BrokerId, waiters: Waiters) -> None:
        self._own = own
        self._waiters = waiters
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._work: set[asyncio.Task[None]] = set()
        self._journal: Journal | None = None
        self.on_end: Callable[[Entry, CallRow], None] = lambda entry, row: None

    def open(self, journal: Journal) -> None:
        """Tell later what is told later."""
        self._journal = journal

    def step(self, entry: Entry, row: CallRow, step: Step) -> CallRow:
        """Move a call on, keep the word, tell the origin and the subscribers; the row as it is now.

        Raises:
            IllegalTransition: the table has no such pair.
        """
        advance(row.state, step.state)
        word = self._word(row, step, entry.now)
        calls.apply(entry.tx, word, entry.now)
        now = calls.require(entry.tx, row.id)
        self._say(entry, now, later=step.state in _TOLD_LATER)
        if now.state in TERMINAL:
            self.on_end(entry, now)
        return now

    def reword(self, entry: Entry, row: CallRow, reason: str) -> CallRow:
        """Say anew why a call stands where it does; the row as it is now."""
        if row.reason == reason[:MAX_REASON]:
            return row
        word = replace(self._word(row, Step(row.state, reason), entry.now), since=row.since)
        calls.apply(entry.tx, word, entry.now)
        now = calls.require(entry.tx, row.id)
        self._say(entry, now, later=True)
        return now

    def _word(self, row: CallRow, step: Step, now: int) -> Word:
        goes_on = step.state is not State.WAITING
        began = row.started if row.started is not None else now
        has_begun = step.state is State.RUNNING or step.outcome is not None
        return Word(
            call=row.id,
            seq=row.seq + 1,
            state=step.state,
            at=now,
            since=now,
            reason=step.reason[:MAX_REASON],
            started=began if has_begun else row.started if goes_on else None,
            ended=now if step.state in TERMINAL else None,
            outcome=step.outcome,
            result=step.result,
            error=step.error,
        )

    def _say(self, entry: Entry, row: CallRow, *, later: bool) -> None:
        entry.event("call.state", state_event(row))
        entry.then(lambda: self._waiters.tell(row))
        if row.origin == self._own:
            return
        if later:
            entry.then(lambda: self._soon(row.id, row.seq))
        else:
            self.tell(entry, row)

    def tell(self, entry: Entry, row: CallRow) -> None:
        """Tell the origin how a call stands; what it was told before, and has not left yet, need not leave any more."""
        for line in outbox.OF_OPERATIONS.all(entry.tx, recipient=row.origin, kind=Kind.TOOL_RESULT, begin=_prefix(row)):
            if line.tries == 0:
                outbox.drop(entry.tx, line.id)
        for letter in letters(row):
            entry.post(letter)

    # later

    def _soon(self, call: str, seq: int) -> None:
        if self._journal is None:
            return
        if (timer := self._timers.pop(call, None)) is not None:
            timer.cancel()
        self._timers[call] = asyncio.get_running_loop().call_later(LATER_S, self._now, call, seq)

    def _now(self, call: str, seq: int) -> None:
        del self._timers[call]
        task = asyncio.get_running_loop().create_task(self._tell_if_latest(call, seq))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _tell_if_latest(self, call: str, seq: int) -> None:
        journal = self._journal

        def decide(entry: Entry) -> None:
            row = BY_ID.one(entry.tx, id=call)
            if row is not None and row.seq == seq:
                self.tell(entry, row)

        try:
            if journal is not None:
                await journal.commit(decide)
        except LocalFault:
            return  # told when the broker starts again, or with the next word

    def close(self) -> None:
        """Tell nothing more by itself."""
        self._journal = None
        for timer in self._timers.values():
            timer.cancel()
        for task in self._work:
            task.cancel()


def word_of(row: CallRow) -> Word:
    """The target's last word on a call, as its row has it."""
    pieces = pieces_of(row.result or b"")
    return Word(
        call=row.id,
        seq=row.seq,
        state=row.state,
        at=row.at or row.since,
        since=row.since,
        reason=row.reason,
        started=row.started,
        ended=row.ended,
        outcome=row.outcome,
        result=None if pieces else row.result,
        pieces=len(pieces),
        error=row.error,
    )


def _prefix(row: CallRow) -> str:
    return f"called/{row.id}/"


def letters(row: CallRow) -> list[Letter]:
    """What tells the origin how a call stands: the pieces of a long result, and the word."""
    operation = f"{_prefix(row)}{row.seq}"
    pieces = [
        Letter(row.origin, Kind.TOOL_RESULT, Piece(row.id, row.seq, n, data).to_content(), f"{operation}/{n}", WORD_TTL)
        for n, data in enumerate(pieces_of(row.result or b""))
    ]
    word = word_of(row).to_content()
    return [*pieces, Letter(row.origin, Kind.TOOL_RESULT, word, operation, WORD_TTL)]


def state_event(row: CallRow) -> dict[str, Any]:
    """What subscribers hear of a call."""
    return {
        "call": row.id,
        "state": str(row.state),
        "reason": row.reason,
        "tool": row.tool,
        "broker": row.target,
    }

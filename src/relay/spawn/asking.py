"""Asking a person: a spawn that is held, that has fallen silent, whose agent wants to know something.

A question and the step that tells of it are one journal entry. While anything is asked, the spawn is `held` or
`needs_input`, and its snapshot's `needs` is the oldest open question.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from relay.core import ids
from relay.core.errors import Code, Refused
from relay.core.ids import BrokerId
from relay.core.questions import MAX_SAID, REQUEST_BYTES, Asked, request_hash
from relay.core.states import NEEDS_A_PERSON, State
from relay.spawn.agents.asking import AgentQuestion
from relay.spawn.ledger import Ledger, Step
from relay.spawn.requests import request_of
from relay.spawn.vigil import Vigil
from relay.store import questions, spawns
from relay.store.journal import Entry
from relay.store.questions import Question
from relay.store.spawn_rows import SpawnRow

MOST_HELD = 20  # of one origin: what a person can be expected to read
MOST_ASKED, HOUR_MS = 100, 3_600_000  # and within an hour: taking a request back and asking anew is a flood as well
MOST_OPEN = 64  # of one attempt
MOST_TAKEN_BACK = 256  # of one attempt: each is a row, two words to its origin, and a line for whoever looks
MAX_INPUT = 48 * 1024
MAX_NAME = 128
Commit = Callable[[Callable[[Entry], None]], None]


def fresh_request() -> str:
    """A new question's id (16 letters, at random)."""
    return ids.spawn_id(os.urandom(REQUEST_BYTES))


def needs_of(question: Question) -> dict[str, Any]:
    """What a snapshot says of a question; times in milliseconds."""
    return {
        "request": question.request,
        "kind": str(question.kind),
        "text": question.text,
        "tool": question.tool,
        "input": question.input,
        "hash": question.hash,
        "asked": question.asked,
        "expires": question.expires,
    }


class Asking:
    """Raises questions about the spawns of this machine, and withdraws them.

    Args:
        own: this broker's id.
        ledger: takes the steps.
        watchdog_s: how long a task may be silent before a person is asked to look; None for ever.
        name: what people call a broker.
    """

    def __init__(
        self, own: BrokerId, ledger: Ledger, watchdog_s: float | None, name: Callable[[BrokerId], str]
    ) -> None:
        self._own = own
        self._ledger = ledger
        self._watchdog_s = watchdog_s
        self._name = name
        self._vigils: dict[str, Vigil] = {}

    # held

    def hold(self, entry: Entry, row: SpawnRow) -> SpawnRow:
        """Hold a spawn until a person here says yes; refuse it where too many of its origin's are held."""
        error = self.too_many(entry, row)
        if error is not None:
            return self._ledger.step(entry, row, Step(State.REJECTED, error.message, error=error.to_json()))
        question, reason = self._held(entry, row)
        return self._ledger.step(entry, row, Step(State.HELD, reason, needs=needs_of(question)))

    def hold_anew(self, entry: Entry, row: SpawnRow) -> SpawnRow:
        """A spawn that is held was changed: what was asked about it is withdrawn, and a person asked about it anew."""
        for each in questions.OPEN_OF.all(entry.tx, spawn=row.id):
            questions.close(entry.tx, each.request, entry.now, questions.WITHDRAWN)
        question, reason = self._held(entry, row)
        return self._ledger.reword(entry, row, reason, needs_of(question))

    def too_many(self, entry: Entry, row: SpawnRow) -> Refused | None:
        """Why no further spawn of this one's origin may be held, or None."""
        held = questions.HELD_FROM.one(entry.tx, target=self._own, origin=row.origin) or 0
        if held >= MOST_HELD:
            return _too_many_held(self._name(self._own), held)
        since = entry.now - HOUR_MS
        of_late = {"since": since, "now": entry.now}
        asked = questions.ASKED_BY.one(entry.tx, target=self._own, origin=row.origin, **of_late) or 0
        return _asked_too_often(self._name(self._own)) if asked >= MOST_ASKED else None

    def _held(self, entry: Entry, row: SpawnRow) -> tuple[Question, str]:
        where = f" in {row.cwd}" if row.cwd else ""
        text, reason = f"{self._name(row.origin)} asks to run {row.agent}{where}, mode {row.mode}", "a person has to"
        before = [each for each in questions.OF_SPAWN.all(entry.tx, spawn=row.id) if each.kind is Asked.HELD]
        hashed = request_hash(row.origin, request_of(row))
        approved = [each for each in before if each.closed_as == questions.APPROVED]
        if any(not questions.is_spent(each) for each in approved):
            text += "; it was changed after it was approved"
            reason = "it was changed after it was approved, so that a person has to"
        elif approved and all(questions.was_to(each) != hashed for each in approved):
            text += "; what was approved before was another request than this"
        elif approved:
            text += "; it was approved before, and is asked for once more"
        elif before and before[0].hash != hashed:
            text += "; it was changed since it was first asked"
        question = self._question(entry, row, Asked.HELD, text, hash=hashed)
        self._keep(entry, question)
        return question, f"{reason} approve it on {self._name(self._own)}"

    def _question(self, entry: Entry, row: SpawnRow, kind: Asked, text: str, **more: Any) -> Question:
        nothing: dict[str, Any] = {"name": None, "tool": None, "input": None, "mode": None, "hash": "", "log_bytes": 0}
        # what has been tried ends by no time to live (`EXPIRED_HERE`), and must not become a question without an answer
        expires = row.expires if kind is Asked.HELD and not row.attempt else None
        common: dict[str, Any] = {"spawn": row.id, "attempt": row.attempt, "kind": kind, "text": text[:4000]}
        return Question(request=fresh_request(), asked=entry.now, expires=expires, **common, **nothing | more)

    def _keep(self, entry: Entry, question: Question) -> None:
        questions.ask(entry.tx, question)
        told = {"spawn": question.spawn, "request": question.request, "asks": str(question.kind)}
        entry.event("spawn.needs", told | {"text": question.text[:MAX_SAID]})

    # silent

    def watch(self, row: SpawnRow, commit: Commit, log: Path | None = None) -> Watch:
        """Watch an attempt for silence and for what its agent asks.

        Args:
            row: as the attempt begins, or is taken up again.
            commit: runs a decision as a journal entry, soon.
            log: its transcript, where an earlier run of this broker began it.
        """

        def silent(size: int) -> None:
            commit(lambda entry: self._silent(entry, row, size, vigil))

        def spoke(size: int) -> None:
            commit(lambda entry: self._spoke(entry, row, size, vigil))

        vigil = Vigil(self._watchdog_s, silent, spoke)
        self._vigils[row.id] = vigil
        vigil.begin(log, asked=row.state is State.NEEDS_INPUT)
        return Watch(self, row, vigil, commit)

    def _silent(self, entry: Entry, row: SpawnRow, size: int, vigil: Vigil) -> None:
        now = spawns.require(entry.tx, row.id)
        if now.state is not State.RUNNING or now.attempt != row.attempt:
            return
        text = f"no output for {_spelled(self._watchdog_s or 0)}: is it still at work?"
        question = self._question(entry, now, Asked.SILENT, text, log_bytes=size)
        self._ask(entry, now, question)
        entry.then(lambda: vigil.asks(size))

    def _spoke(self, entry: Entry, row: SpawnRow, size: int, vigil: Vigil) -> None:
        found = questions.OPEN_OF.all(entry.tx, spawn=row.id)
        silent = [each for each in found if each.kind is Asked.SILENT and each.log_bytes < size]
        for each in silent:
            questions.close(entry.tx, each.request, entry.now, questions.WITHDRAWN)
        if silent:
            self.go_on(entry, spawns.require(entry.tx, row.id))
        elif not any(each.kind is Asked.SILENT for each in found):
            entry.then(vigil.goes_on)

    # asked by the agent

    def asked(self, entry: Entry, row: SpawnRow, found: Sequence[AgentQuestion], withdrawn: Sequence[str]) -> None:
        """Put an agent's questions to a person, each once; take back those it needs no answer to any more."""
        now = spawns.require(entry.tx, row.id)
        if now.state not in (State.RUNNING, State.NEEDS_INPUT) or now.attempt != row.attempt:
            return
        for each in found:
            if questions.BY_NAME.one(entry.tx, spawn=row.id, attempt=row.attempt, name=each.name[:MAX_NAME]) is None:
                now = self._agent_asks(entry, now, each)
        for name in withdrawn:
            known = questions.BY_NAME.one(entry.tx, spawn=row.id, attempt=row.attempt, name=name[:MAX_NAME])
            if known is not None and questions.close(entry.tx, known.request, entry.now, questions.WITHDRAWN):
                now = self.go_on(entry, now)

    def _agent_asks(self, entry: Entry, row: SpawnRow, asked: AgentQuestion) -> SpawnRow:
        still_open = questions.OPEN_OF.all(entry.tx, spawn=row.id)
        taken_back = questions.TAKEN_BACK.one(entry.tx, spawn=row.id, attempt=row.attempt) or 0
        if len(still_open) >= MOST_OPEN or taken_back >= MOST_TAKEN_BACK:
            return row  # it waits for answers to these; a broken agent must not fill the store
        for each in still_open:
            if each.kind is Asked.SILENT:
                questions.close(entry.tx, each.request, entry.now, questions.WITHDRAWN)
                row = self.go_on(entry, row)
        tool = None if asked.tool is None else asked.tool[:256]
        more = {"name": asked.name[:MAX_NAME], "tool": tool, "input": _bounded(asked.input), "mode": asked.mode}
        return self._ask(entry, row, self._question(entry, row, asked.kind, asked.text, **more))

    def _ask(self, entry: Entry, row: SpawnRow, question: Question) -> SpawnRow:
        self._keep(entry, question)
        if row.state in NEEDS_A_PERSON:
            return row  # the oldest is told first; the others are told of in turn, and by `review`
        return self._ledger.step(entry, row, Step(State.NEEDS_INPUT, question.text[:1000], needs=needs_of(question)))

    # answered

    def go_on(self, entry: Entry, row: SpawnRow) -> SpawnRow:
        """A question about a running spawn was closed: it runs on, or the next question is told."""
        if row.state is not State.NEEDS_INPUT:
            return row
        told = (row.needs or {}).get("request")
        left = questions.OPEN_OF.all(entry.tx, spawn=row.id)
        if any(each.request == told for each in left):
            return row
        row = self._ledger.step(entry, row, Step(State.RUNNING))
        if left:
            needs = needs_of(left[0])
            return self._ledger.step(entry, row, Step(State.NEEDS_INPUT, left[0].text[:1000], needs=needs))
        entry.then(lambda: self._runs_on(row.id))
        return row

    def _runs_on(self, spawn: str) -> None:
        vigil = self._vigils.get(spawn)
        if vigil is not None:
            vigil.goes_on()

    def over(self, spawn: str, vigil: Vigil) -> None:
        """An attempt of this spawn has ended; its watch is over."""
        vigil.over()
        if self._vigils.get(spawn) is vigil:
            del self._vigils[spawn]

    def close(self) -> None:
        """Stop every watch; what was asked stays asked."""
        for spawn, vigil in list(self._vigils.items()):
            self.over(spawn, vigil)


class Watch:
    """One attempt, watched: its signs of life come in here. Made by `Asking.watch`."""

    def __init__(self, asking: Asking, row: SpawnRow, vigil: Vigil, commit: Commit) -> None:
        self._asking = asking
        self._row = row
        self._vigil = vigil
        self._commit = commit

    def heard(self, size: int) -> None:
        """Its log has grown to so many bytes."""
        self._vigil.heard(size)

    def asked(self, found: Sequence[AgentQuestion], withdrawn: Sequence[str]) -> None:
        """Its agent asks, or needs no answer any more."""
        self._commit(lambda entry: self._asking.asked(entry, self._row, found, withdrawn))

    def over(self) -> None:
        """It has ended."""
        self._asking.over(self._row.id, self._vigil)


def _bounded(value: Any) -> Any:
    text = json.dumps(value)
    return value if len(text) <= MAX_INPUT else {"cut": text[:MAX_INPUT]}


def _spelled(seconds: float) -> str:
    if seconds >= 120:
        return f"{seconds / 60:.0f} min"
    return f"{seconds:g} s"


def _asked_too_often(here: str) -> Refused:
    return Refused(
        "a person is asked too often",
        code=Code.RATE_LIMITED,
        why=f"this broker's requests were held on {here} {MOST_ASKED} times within an hour, and no more may be",
        hint=f"wait a little; or have {here} allow it without --ask",
    )


def _too_many_held(here: str, held: int) -> Refused:
    return Refused(
        "too many requests are held already",
        code=Code.TOO_MANY,
        why=f"{held} of this broker's wait for a person on {here}, and no more than {MOST_HELD} may",
        hint=f"have some of them answered on {here}: relay review",
    )

"""Playing a request through: it is taken in by the very code that takes spawns in, looked at, and undone.

Everything that a spawn's arrival does happens inside one transaction, and what follows from it only after the commit.
So the part that is undone leaves nothing: no row, no envelope, no audit entry, no process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field, replace
from typing import Any, NoReturn

from relay.core.errors import Code, Misuse, RelayError
from relay.core.ids import BrokerId
from relay.core.slots import needs
from relay.core.spawning import FRESH_DIRECTORY
from relay.core.states import State
from relay.core.trials import MOST_SORTS, Question, Verdict
from relay.core.values import frozen
from relay.spawn.admission import Judge
from relay.spawn.supervisor import Supervisor
from relay.spawn.timetable import first_from
from relay.store import schedules, spawns
from relay.store.journal import Entry
from relay.store.spawn_rows import SpawnRow

_VERDICTS = {State.STARTING: Verdict.START, State.WAITING: Verdict.WAIT, State.HELD: Verdict.HOLD}


@frozen
class Rehearsed:
    """What became of it.

    Attributes:
        verdict: start, wait, hold or refuse.
        reason: why it would wait or be held.
        error: why it would be refused, else None.
        directory: where it would run, resolved; empty where it is refused.
        fresh: that directory would be made.
        slots: how many are taken, of how many, and how many wait before it.
        next: when a schedule would run next, milliseconds since 1970, or None.
    """

    verdict: Verdict
    reason: str = ""
    error: RelayError | None = None
    directory: str = ""
    fresh: bool = False
    slots: dict[str, Any] = field(default_factory=dict)
    next: int | None = None


class _Undone(Exception):
    """Carries what was seen out of the part that is undone."""

    def __init__(self, found: Rehearsed) -> None:
        super().__init__()
        self.found = found


Told = Callable[[BrokerId, RelayError, int], RelayError]


def _whole(origin: BrokerId, error: RelayError, now: int) -> RelayError:
    return error


class Rehearsal:
    """Plays requests through on this machine.

    Args:
        own: this broker's id.
        supervisor: takes spawns in.
        judge: says where one would run.
        told: an error as a broker may read it.
    """

    def __init__(self, own: BrokerId, supervisor: Supervisor, judge: Judge, told: Told = _whole) -> None:
        self._told = told
        self._own = own
        self._supervisor = supervisor
        self._judge = judge

    def of(self, entry: Entry, question: Question, origin: BrokerId, operation: str) -> Rehearsed:
        """What would become of a request if it came now.

        Args:
            entry: a transaction; nothing of this stays in it.
            question: the request.
            origin: whose it is.
            operation: one that nothing else has.

        Raises:
            LocalFault: the store failed.
        """
        try:
            with entry.undone_on_error():
                self._play(entry, question, origin, operation)
        except _Undone as undone:
            return undone.found
        except RelayError as fault:
            error = self._lacking(entry, question, origin, operation) or self._told(origin, fault, entry.now)
            return Rehearsed(Verdict.REFUSE, error.message, error)

    def _lacking(
        self, entry: Entry, question: Question, origin: BrokerId, operation: str
    ) -> RelayError | None:
        """Why it may not be, which comes before all that is known of others here."""
        asked: dict[str, Any] = {"origin": origin, "target": self._own, "operation": operation}
        draft = spawns.drafted(question.request, **asked, state=State.DELIVERED, since=entry.now, reason="")
        try:
            with entry.undone_on_error():
                raise _Undone(Rehearsed(Verdict.REFUSE, error=self._judge(entry, draft).refusal))
        except _Undone as undone:
            return undone.found.error

    def _play(self, entry: Entry, question: Question, origin: BrokerId, operation: str) -> NoReturn:
        request, following = question.request, self._following(entry, question)
        if following is not None:  # the schedule has a moment, and none of its runs
            request = replace(request, wishes=replace(request.wishes, not_before=None))
        row = spawns.insert(
            entry.tx,
            request,
            origin=origin,
            target=self._own,
            operation=operation,
            state=State.DELIVERED,
            since=entry.now,
            may_share_name=question.every is not None,  # a run waits for the one before; a spawn of that name is none
        )
        slots = self._slots(entry, row)
        row = self._supervisor.admit(entry, row)
        verdict = _VERDICTS.get(row.state, Verdict.REFUSE)
        if verdict is Verdict.REFUSE:
            raise _Undone(Rehearsed(verdict, row.reason, _error_of(row)))
        place = self._judge(entry, row)
        directory = row.cwd if (is_fresh := row.cwd == FRESH_DIRECTORY) else place.directory
        found = Rehearsed(verdict, row.reason, None, directory or "", is_fresh, slots, following)
        raise _Undone(found)

    def _following(self, entry: Entry, question: Question) -> int | None:
        if question.every is None:
            return None
        name = question.request.name
        request = question.request
        following = first_from(question.every, request.created, request.wishes.not_before, entry.now)
        if (other := schedules.NAMED.one(entry.tx, name=name, target=self._own)) is not None:
            why, hint = f"schedule {other.id} has it", "relay schedule list"
            raise Misuse(f"the name {name!r} is in use", code=Code.NAME_IN_USE, why=why, hint=hint)
        return following

    def _slots(self, entry: Entry, row: SpawnRow) -> dict[str, Any]:
        queue = self._supervisor.room.queue
        taken = queue.occupancy(entry.tx)
        sorts = [
            {"name": name, "used": taken.taken[name], "of": taken.slots[name]}
            for name in needs(row.agent, row.labels, taken.slots)
        ]
        ahead = queue.ahead(entry, row)
        return {"used": taken.total, "of": taken.parallel, "ahead": ahead, "sorts": sorts[:MOST_SORTS]}


def _error_of(row: SpawnRow) -> RelayError:
    from_word = row.error or {}
    code = from_word.get("code", "")
    known = Code(code) if code in Code._value2member_map_ else Code.INTERNAL
    return RelayError(
        str(from_word.get("message") or row.reason),
        code=known,
        why=str(from_word.get("why") or ""),
        hint=str(from_word.get("hint") or ""),
    )

"""The waiting room: spawns that were taken and have not started. Who may start is decided here, in transactions.

The supervisor starts and ends attempts; whenever one has ended it has this room looked through.
"""

from __future__ import annotations

from collections.abc import Callable

from relay.core.errors import RelayError
from relay.core.ids import BrokerId
from relay.core.states import TERMINAL, State
from relay.spawn.admission import Admission, Judge
from relay.spawn.alarm import Alarm
from relay.spawn.asking import Asking
from relay.spawn.ledger import Ledger, Step
from relay.spawn.limits import Limits
from relay.spawn.queue import Queue, Turn, same_cause
from relay.spawn.retries import put_off_too_long
from relay.spawn.rewording import MOST_TOLD, Rewording
from relay.spawn.succession import MayView, Succession
from relay.spawn.telling import Telling
from relay.store import queueing, spawns
from relay.store.journal import Entry, Journal
from relay.store.spawn_rows import BY_ID, EXPIRED_HERE, NEXT_TO_EXPIRE, SpawnRow

NEVER = 2**53
AGAIN_MS = 60_000
FAULTY = "its broker met a fault of its own with it, which its log tells of"
AT_ONCE = 25  # are worded anew in one transaction: each counts who is ahead of it, and others want to write meanwhile
Decide = Callable[[Entry], None]


class WaitingRoom:
    """Admits spawns, and says of each why it waits.

    Args:
        own: this broker's id.
        journal: where decisions are committed.
        ledger: signs the steps.
        judge: asked before each start.
        limits: how many slots there are.
        asking: puts questions to persons.
        may_expire: whether the clocks of linked peers let anything be called expired.
        may_view: whether a broker may know of the spawns of others here.
        start: starts one, inside the transaction.
        later: commits a decision after this one, whatever the store says to it at first.
    """

    def __init__(
        self,
        own: BrokerId,
        journal: Journal,
        ledger: Ledger,
        judge: Judge,
        limits: Limits,
        asking: Asking,
        may_expire: Callable[[], bool],
        may_view: MayView,
        start: Callable[[Entry, SpawnRow, Admission], SpawnRow],
        later: Callable[[Decide], None],
    ) -> None:
        self._own = own
        self._ledger = ledger
        self._judge = judge
        self._asking = asking
        self.may_expire = may_expire
        self._start = start
        self._later = later
        self.telling = Telling(own, journal, ledger)
        self.queue = Queue(own, limits)
        self.rewording = Rewording(own, ledger, self.queue, self._plain_lack, later)
        self._clock = journal.clock
        self.alarm = Alarm(journal.clock, lambda: later(self.due))
        self._ends = Alarm(journal.clock, lambda: later(self._run_out))
        self.succession = Succession(own, ledger, may_view, self.release, later)
        self.lacks: list[Callable[[Entry, SpawnRow], str]] = []
        """What a spawn may have to wait for beside the queue: each says why, or nothing, or refuses it."""
        self.agent_lacks: list[Callable[[Entry, SpawnRow], str]] = []
        """The same, where it is lacked by all spawns of an agent: one is asked for, and the others are passed over."""
        self.unsent: Callable[[Entry], int | None] = lambda entry: None
        """Ends what was never sent to others in time; when it is to look again."""
        self.due_runs: Callable[[Entry], int | None] = lambda entry: None
        self.runs_anew: Callable[[Entry], None] = lambda entry: None

    # admitting

    def admit(self, entry: Entry, row: SpawnRow) -> SpawnRow:
        """Decide on a spawn that has just been delivered; the row as it stands then."""
        if row.wishes.after:
            row = self.succession.arrived(entry, row)
        return row if row.state in TERMINAL else self.consider(entry, row)

    def consider(self, entry: Entry, row: SpawnRow) -> SpawnRow:
        """Decide on a spawn that has not started; the row as it stands then."""
        admission = self._judge(entry, row)
        if not row.chain:
            self.queue.note(row.origin, admission.waiting)
        return self._decided(entry, row, admission)

    def _decided(self, entry: Entry, row: SpawnRow, admission: Admission) -> SpawnRow:
        if admission.refusal is not None:
            return self.refuse(entry, row, admission.refusal)
        try:
            missing = self._missing(entry, row)  # before it is held, too: its origin may be asleep when it is approved
        except RelayError as error:
            return self.refuse(entry, row, error)
        if admission.held:
            self.ends_with(entry, row)
            return self._asking.hold(entry, row)
        if admission.until is not None:
            self.wake_at(entry, admission.until)
        why = self.queue.obstacle(entry, row) or admission.waiting or missing
        if why:
            return self.wait(entry, row, why)
        self.rewording.soon(entry)
        return self._start(entry, row, admission)

    def _missing(self, entry: Entry, row: SpawnRow) -> str:
        return _first(self.lacks, entry, row) or _first(self.agent_lacks, entry, row)

    def refuse(self, entry: Entry, row: SpawnRow, refusal: RelayError) -> SpawnRow:
        """End a spawn that may not start."""
        return self._ledger.step(entry, row, Step(State.REJECTED, refusal.message, error=refusal.to_json()))

    def wait(self, entry: Entry, row: SpawnRow, why: str) -> SpawnRow:
        """Let a spawn wait, or go on waiting, for a reason."""
        self.ends_with(entry, row)
        if row.not_before is not None and row.not_before > entry.now:
            self.wake_at(entry, row.not_before)
        if row.state is not State.WAITING:
            return self.step_to_wait(entry, row, Step(State.WAITING, why))
        if not same_cause(row.reason, why):
            return self._ledger.reword(entry, row, why)
        spawns.explain(entry.tx, row.id, why)
        return row

    def step_to_wait(self, entry: Entry, row: SpawnRow, step: Step) -> SpawnRow:
        """Take a step to `waiting`; its origin is told in a moment, unless it goes on at once."""
        waiting = self._ledger.step(entry, row, step)
        if step.tried is None:
            self.telling.soon(entry, waiting)
        return waiting

    def wake_at(self, entry: Entry, moment: int) -> None:
        """Look again at a moment (milliseconds since 1970)."""
        entry.then(lambda: self.alarm.no_later_than(moment))

    # starting what waits

    def look_through(self, entry: Entry) -> None:
        """Start what waits and may start now."""
        self.queue.start_waiting(entry, self._in_its_turn)
        self.rewording.soon(entry)

    def look_anew(self, entry: Entry) -> None:
        """As `look_through`, now that grants, or what was lacking, may be others."""
        known = self.queue.used_up.keys()
        self.queue.look_anew()
        self.look_through(entry)
        for origin in known - self.queue.used_up.keys():  # where there was no slot none was asked about
            first = queueing.FIRST_OF.one(entry.tx, target=self._own, origin=origin)
            if first is not None:
                self.queue.note(origin, self._judge(entry, spawns.require(entry.tx, first)).waiting)

    def _in_its_turn(self, entry: Entry, spawn: str) -> Turn:
        turns: list[Turn] = []
        self._apart(entry, spawn, lambda row: turns.append(self._turn(entry, row)))
        return turns[0] if turns else Turn()

    def _apart(self, entry: Entry, spawn: str, work: Callable[[SpawnRow], object]) -> None:
        """Do it for one of those that wait; where that fails, it is told why it waits still, and the others go on."""
        what = f"spawn {spawn}"
        if not entry.apart(what, lambda: _if_known(entry, spawn, work)):
            entry.apart(what, lambda: _if_known(entry, spawn, lambda row: self._say_faulty(entry, row)))

    def _say_faulty(self, entry: Entry, row: SpawnRow) -> None:
        if row.state is State.WAITING and row.reason != FAULTY:
            self._ledger.reword(entry, row, FAULTY)

    def _turn(self, entry: Entry, row: SpawnRow) -> Turn:
        if self._has_run_out(entry, row):
            return Turn(taken=True)
        if row.reason and row.reason == self._plain_lack(entry, row):  # before it is judged: that is written down
            return Turn(agent_waits=_first(self.agent_lacks, entry, row))
        admission = self._judge(entry, row)
        if self._decided(entry, row, admission).state is not State.WAITING:
            return Turn(taken=True)
        all_of_origin = "" if row.chain else admission.waiting
        return Turn(origin_waits=all_of_origin, agent_waits=_first(self.agent_lacks, entry, row))

    def _plain_lack(self, entry: Entry, row: SpawnRow) -> str:
        try:
            return self._missing(entry, row)
        except RelayError:
            return ""  # it is refused for it, once it is judged

    def _reconsider(self, entry: Entry, row: SpawnRow) -> None:
        if row.state is State.WAITING and not self._has_run_out(entry, row):
            self.consider(entry, row)

    def _has_run_out(self, entry: Entry, row: SpawnRow) -> bool:
        tried = row.attempt > 0 and queueing.WAS_TRIED.one(entry.tx, spawn=row.id) is not None
        if row.expires > entry.now or tried or not self.may_expire():
            return False
        self._ledger.step(entry, row, Step(State.EXPIRED, "it was not to be started after its time to live"))
        return True

    def decide_again(self, waiting: list[str], then: Callable[[], None]) -> None:
        """Decide soon, and once more, on spawns that wait or are held, now that more is known of what they lack.

        Args:
            waiting: their ids.
            then: called when that is committed.
        """

        def decide(entry: Entry) -> None:
            for row in filter(None, [BY_ID.one(entry.tx, id=each) for each in waiting]):
                if row.state is State.HELD:
                    self._still_lacks(entry, row)
            self._word_anew(entry, waiting, then)

        self._later(decide)

    def _still_lacks(self, entry: Entry, row: SpawnRow) -> None:
        try:
            self._missing(entry, row)
        except RelayError as error:
            self.refuse(entry, row, error)

    def expire(self, entry: Entry) -> None:
        """End what was held or waited beyond its time to live."""
        step = Step(State.EXPIRED, "its time to live was over before it could start")
        for row in EXPIRED_HERE.all(entry.tx, target=self._own, now=entry.now):
            entry.apart(f"spawn {row.id}", lambda row=row: self._ledger.step(entry, row, step))  # type: ignore[misc]

    def ends_with(self, entry: Entry, row: SpawnRow) -> None:
        """Look for what has run out when this one's time to live is over."""
        self._ends_at(entry, row.expires)

    def _run_out(self, entry: Entry) -> None:
        if self.may_expire():  # else it is looked for again once a minute
            self.expire(entry)
            self._ends_at(entry, self.unsent(entry))
        self._ends_at(entry, NEXT_TO_EXPIRE.one(entry.tx, target=self._own, now=entry.now))

    def _ends_at(self, entry: Entry, moment: int | None) -> None:
        entry.then(lambda: self._ends.no_later_than(moment))

    def due(self, entry: Entry) -> None:
        """Start, or word anew, what was not to start before now; runs of schedules too."""
        next_run = self.due_runs(entry)
        arrived = queueing.DUE.all(entry.tx, target=self._own, now=entry.now)
        for row in arrived:
            queueing.not_before(entry.tx, row.id, None)
        self.look_through(entry)
        self._word_anew(entry, [row.id for row in arrived])
        moments = (next_run, queueing.NEXT_START.one(entry.tx, target=self._own))
        self.wake_at(entry, min((each for each in moments if each is not None), default=NEVER))

    def anew(self, entry: Entry) -> None:
        """As `due`, after the clock may have been set back: what it had put off while it was ahead is due sooner."""
        self.runs_anew(entry)
        sooner = put_off_too_long(entry, self._own)
        self.due(entry)
        self._word_anew(entry, sooner)
        self._run_out(entry)

    def clock_was_set(self) -> None:
        """Look at everything that waits for a moment by the clock as it is now."""
        self.alarm.look()
        self._ends.look()
        self._later(self.anew)

    def ring_again(self) -> None:
        """A decision failed, which may have been to set the alarms: they ring in a minute at the latest."""
        for alarm in (self.alarm, self._ends):
            alarm.no_later_than(self._clock() + AGAIN_MS)

    def close(self) -> None:
        """Look at nothing by itself any more."""
        self.alarm.close()
        self._ends.close()
        self.rewording.close()
        self.telling.close()

    def pause_queue(self, entry: Entry, by: str) -> None:
        """Let nothing start any more; what runs goes on, and the origins of what waits are told why."""
        self.queue.pause(entry, by)
        self._word_anew(entry, self._waiting_for_others(entry))

    def resume_queue(self, entry: Entry) -> None:
        """Let the queue go on; what does not start now is told why."""
        self.queue.resume(entry)
        self.look_through(entry)
        self._word_anew(entry, self._waiting_for_others(entry))

    def _waiting_for_others(self, entry: Entry) -> list[str]:
        return queueing.WAITING_FOR_OTHERS.all(entry.tx, target=self._own, limit=MOST_TOLD)

    def release(self, entry: Entry, released: list[str]) -> None:
        """What these waited for is there: they start, or are told what they wait for now, and until when."""
        # after the commit: whoever ends a spawn starts what waits for the slot first
        def decide(later: Entry) -> None:
            self.look_through(later)
            self._word_anew(later, released)

        entry.then(lambda: self._later(decide))

    def _word_anew(self, entry: Entry, waiting: list[str], then: Callable[[], None] = lambda: None) -> None:
        """Say of each that waits what it waits for now, the first ones here and the others in later transactions."""
        for spawn in waiting[:AT_ONCE]:
            self._apart(entry, spawn, lambda row: self._reconsider(entry, row))
        if rest := waiting[AT_ONCE:]:
            entry.then(lambda: self._later(lambda later: self._word_anew(later, rest, then)))
        else:
            entry.then(then)


def _if_known(entry: Entry, spawn: str, work: Callable[[SpawnRow], object]) -> None:
    row = BY_ID.one(entry.tx, id=spawn)
    if row is not None:
        work(row)


def _first(lacks: list[Callable[[Entry, SpawnRow], str]], entry: Entry, row: SpawnRow) -> str:
    return next(filter(None, [lack(entry, row) for lack in lacks]), "")

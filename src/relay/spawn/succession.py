"""What comes after what: a spawn's end lets the ones behind it start, or ends them too.

    A completes                       ─► B (after success) may start
    A fails, is stopped, expires, …   ─► B ends as cancelled, and C behind B
    A ends, however                   ─► B (after any) may start

No cycle can come about: a predecessor has an id before its dependent has one, `edit` looks along the chain, and so
does what arrives behind something that waits for it already.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

from relay.core.errors import Code, Misuse, RelayError
from relay.core.ids import BrokerId
from relay.core.states import TERMINAL, State
from relay.core.wishes import AFTER_ANY, After
from relay.spawn.ledger import Ledger, Step
from relay.store import queueing
from relay.store.journal import Entry
from relay.store.query import Tx
from relay.store.spawn_rows import BY_ID, SpawnRow
from relay.store.spawns import require

MayView = Callable[[BrokerId, int], bool]
AT_ONCE = 50  # dependents in one transaction: each end is signed, and told


def fits(condition: str, state: State) -> bool:
    """Whether a predecessor that ended so ended as it had to."""
    return condition == AFTER_ANY or state is State.COMPLETED


def failed_predecessor(row: SpawnRow) -> RelayError:
    """Why what was to run after the success of a spawn never will."""
    why = f"this was to run after its success{f'; it says: {row.reason}' if row.reason else ''}"
    return Misuse(
        f"{row.name} ({row.id}) ended as {row.state}",
        code=Code.PREDECESSOR_FAILED,
        why=why[:1000],
        hint=f"relay retry {row.id}, then retry this one; or spawn it again with --after-any",
    )


class Succession:
    """Carries ends on to what waits for them.

    Args:
        own: this broker's id.
        ledger: whose ends these are; this room listens to it.
        may_view: whether a broker may know of the spawns of others here.
        released: told of spawns that nothing before them keeps any more.
        later: commits a decision after this one.
    """

    def __init__(
        self,
        own: BrokerId,
        ledger: Ledger,
        may_view: MayView,
        released: Callable[[Entry, list[str]], None],
        later: Callable[[Callable[[Entry], None]], None],
    ) -> None:
        self._own = own
        self._ledger = ledger
        self._may_view = may_view
        self._released = released
        self._later = later
        self._ends: deque[SpawnRow] | None = None
        ledger.on_end.append(self.ended)

    def arrived(self, entry: Entry, row: SpawnRow) -> SpawnRow:
        """Note what a spawn comes after, and end it where one of them has ended otherwise; the row as it is now."""
        if queueing.DEPENDENTS.all(entry.tx, predecessor=row.id, target=self._own, limit=1):
            try:
                require_no_cycle(entry.tx, row.id, row.wishes.after)
            except Misuse as closing:
                return self._refuse(entry, row, closing)
        met = set(queueing.MET_OF.all(entry.tx, spawn=row.id))
        queueing.put_after(entry.tx, row.id, row.wishes.after)
        for each in row.wishes.after:
            before = BY_ID.one(entry.tx, id=each.spawn)
            if before is None and (each.spawn, each.condition) in met:
                queueing.meet(entry.tx, row.id, each.spawn)
            elif before is None and row.origin == self._own:
                self._is_no_more(entry, row, each.spawn, each.condition, None, "which is not known any more")
                row = require(entry.tx, row.id)
                if row.state in TERMINAL:
                    return row
            fault = None if before is None else self._fault(entry, row, before)
            if fault is not None:
                return self._refuse(entry, row, fault)
            if before is not None and before.state in TERMINAL:
                if not fits(each.condition, before.state):
                    return self._cancel(entry, row, before)
                queueing.meet(entry.tx, row.id, each.spawn)
        return row

    def _refuse(self, entry: Entry, row: SpawnRow, fault: Misuse) -> SpawnRow:
        return self._ledger.step(entry, row, Step(State.REJECTED, fault.message, error=fault.to_json()))

    def _fault(self, entry: Entry, row: SpawnRow, before: SpawnRow) -> Misuse | None:
        if before.target != self._own:
            return another_broker(before.id, "it runs on another broker than this one")
        if row.origin not in (self._own, before.origin) and not self._may_view(row.origin, entry.now):
            return another_broker(before.id, "it is somebody else's, and the grant has no `view`")
        return None

    def _cancel(self, entry: Entry, row: SpawnRow, before: SpawnRow) -> SpawnRow:
        error = failed_predecessor(before)
        reason = f"after {before.name} ({before.id}), which ended as {before.state}"
        return self._ledger.step(entry, row, Step(State.CANCELLED, reason, error=error.to_json()))

    def ended(self, entry: Entry, row: SpawnRow) -> None:
        """A spawn of this broker has ended: its dependents may start, or end too, and theirs.

        Of very many the rest follows in later transactions. Until then it waits for what has ended, and cannot start.
        """
        if self._ends is not None:  # the end of a dependent, told by the loop below: a chain may be long
            self._ends.append(row)
            return
        self._carry_on(entry, deque([row]))

    def resume(self, entry: Entry) -> None:
        """Go on where an earlier run of this broker ended between two transactions."""
        self._go_on(entry, queueing.ENDED_UNTOLD.all(entry.tx, target=self._own))

    def _go_on(self, entry: Entry, ended: list[str]) -> None:
        rows = filter(None, [BY_ID.one(entry.tx, id=each) for each in ended])
        self._carry_on(entry, deque(row for row in rows if row.state in TERMINAL))  # another attempt ends by itself

    def _carry_on(self, entry: Entry, ends: deque[SpawnRow]) -> None:
        self._ends, left = ends, AT_ONCE
        released: list[str] = []
        try:
            while ends and left:
                told = queueing.DEPENDENTS.all(entry.tx, predecessor=ends[0].id, target=self._own, limit=left)
                released += self._pass_on(entry, ends[0], told)
                left -= len(told)
                if left:
                    ends.popleft()
        finally:
            self._ends = None
        if ends:
            rest = [each.id for each in ends]
            entry.then(lambda: self._later(lambda later: self._go_on(later, rest)))
        if released:
            self._released(entry, released)

    def _pass_on(self, entry: Entry, row: SpawnRow, dependents: list[tuple[str, str]]) -> list[str]:
        free = []
        for spawn, condition in dependents:
            if not fits(condition, row.state):
                entry.apart(f"spawn {spawn}", partial(self._cancel_one, entry, spawn, row))
                continue
            queueing.meet(entry.tx, spawn, row.id)
            if not queueing.OPEN_OF.all(entry.tx, spawn=spawn):
                free.append(spawn)
        return free

    def _cancel_one(self, entry: Entry, spawn: str, before: SpawnRow) -> None:
        self._cancel(entry, require(entry.tx, spawn), before)

    def never_comes(self, entry: Entry, spawn: str, predecessor: str, ended: State | None) -> None:
        """The origin says that a predecessor has ended; of one that is not here it is all there will be.

        Args:
            entry: the transaction.
            spawn: the dependent; `predecessor`: what will not come.
            ended: how it ended here, before it was forgotten; None where it was never taken on: not sent, or refused.
        """
        row = require(entry.tx, spawn)
        for each in () if row.state in TERMINAL else queueing.OPEN_OF.all(entry.tx, spawn=spawn):
            if each.predecessor == predecessor and each.state is None:  # else it did come; its end will tell
                self._is_no_more(entry, row, predecessor, each.condition, ended, "which was never taken on")
                self._released(entry, [spawn])

    def _is_no_more(
        self, entry: Entry, row: SpawnRow, predecessor: str, condition: str, ended: State | None, else_how: str
    ) -> None:
        if condition == AFTER_ANY or (ended is not None and fits(condition, ended)):
            queueing.meet(entry.tx, row.id, predecessor)
            return
        how = else_how if ended is None else f"which ended as {ended}"
        error = Misuse(
            f"{predecessor}, {how}, cannot be waited for",
            code=Code.PREDECESSOR_FAILED,
            why="this was to run after its success",
            hint="spawn it again with --after-any, or after nothing",
        )
        self._ledger.step(entry, row, Step(State.CANCELLED, f"after {predecessor}, {how}", error=error.to_json()))


def another_broker(spawn: str, why: str) -> Misuse:
    """The error for a predecessor that cannot be one."""
    return Misuse(
        f"nothing here can come after {spawn}",
        code=Code.BAD_AFTER,
        why=why,
        hint="wait for it and spawn then: relay wait ID && relay spawn ...",
    )


def require_no_cycle(tx: Tx, spawn: str, after: tuple[After, ...]) -> None:
    """Refuse predecessors that wait for the spawn themselves.

    Raises:
        Misuse: `bad_after`.
    """
    ahead, seen = deque(each.spawn for each in after), set[str]()
    while ahead:
        one = ahead.popleft()
        if one == spawn:
            raise Misuse(
                "a spawn cannot wait for itself",
                code=Code.BAD_AFTER,
                why="what it is to come after waits for it, directly or along a chain",
                hint=f"relay show {spawn}",
            )
        if one not in seen:
            seen.add(one)
            ahead.extend(queueing.OPEN_BEFORE.all(tx, spawn=one))

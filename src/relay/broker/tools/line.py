"""What waits for its program: a call starts when it is connected and has room, in the order of arrival.

That it starts, and for which program, is on disk before the program hears of it: what a program does not hold when it
connects again has never reached it, and is given out once more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

from relay.broker.members import Members
from relay.broker.tools.ledger import CallLedger, Step
from relay.broker.tools.programs import Program, Programs, is_alive
from relay.broker.tools.rights import ToolRights
from relay.broker.words import rfc3339
from relay.core.errors import Code, Refused, RelayError
from relay.core.states import State
from relay.store import call_rows, calls, offers
from relay.store.call_rows import CallRow
from relay.store.engine import Store
from relay.store.journal import Entry
from relay.store.offers import Offered
from relay.store.query import to_json

MOST_REWORDED = 1_000
ABSENT = "its program"
AHEAD = " ahead"
NEAR, NEWS = 32, 0.9
"""A place that is further away is told anew where it is so much nearer, and not with each step."""


class Line:
    """The calls that this broker is to run.

    Args:
        members: names.
        programs: those that are connected.
        ledger: this broker's word on calls.
        rights: asked when a call comes, and again when it starts.
        may_expire: whether this clock is believed, so that anything may be called expired.
    """

    def __init__(
        self,
        members: Members,
        programs: Programs,
        ledger: CallLedger,
        rights: ToolRights,
        may_expire: Callable[[], bool],
    ) -> None:
        self.may_expire = may_expire
        self._members = members
        self._programs = programs
        self._ledger = ledger
        self._rights = rights
        self.on_given: Callable[[CallRow], None] = lambda row: None
        self.on_waits: Callable[[CallRow], None] = lambda row: None
        self.on_moved: Callable[[Entry], None] = lambda entry: None
        ledger.on_end = self._ended

    def admit(self, entry: Entry, row: CallRow) -> CallRow:
        """Start a call that has come, or have it wait, or refuse it; the row as it is then."""
        offered, error = self._judged(entry, row)
        if error is not None or offered is None:
            return self.refuse(entry, row, error or self._no_runner(row))
        program = self._programs.get(offered.program)
        if program is not None and self._has_place(entry, row, program):
            return self._start(entry, row, program)
        return self._wait(entry, row, offered)

    def _wait(self, entry: Entry, row: CallRow, offered: Offered | None) -> CallRow:
        now = self._ledger.step(entry, row, Step(State.WAITING, self.reason(entry, row, offered)))
        entry.then(lambda: self.on_waits(now))
        return now

    def _judged(self, entry: Entry, row: CallRow) -> tuple[Offered | None, RelayError | None]:
        error = self._rights.refusal(entry, row)
        return (None, error) if error is not None else (self._rights.offered(entry, row), None)

    def _no_runner(self, row: CallRow) -> RelayError:
        why = "no program has offered it there, or it is not shared"
        name = self._members.own_name
        return Refused(f"{name} has no runner {row.tool}", code=Code.NO_RUNNER, why=why, hint="relay tools")

    def refuse(self, entry: Entry, row: CallRow, error: RelayError) -> CallRow:
        """A call may not be done."""
        reason = f"{error.message}: {error.why}" if error.why else error.message
        if row.origin != self._members.own:
            calls.drop_arguments(entry.tx, row.id)  # who may do nothing here fills no disk by asking
        return self._ledger.step(entry, row, Step(State.REJECTED, reason, error=error.to_json()))

    # what starts

    def _room(self, entry: Entry, program: Program) -> int:
        in_hand = call_rows.IN_HAND_OF.one(entry.tx, own=self._members.own, program=program.id) or 0
        return program.hello.parallel - in_hand if program.takes else 0

    def _room_of(self, entry: Entry, program: Program, tool: str) -> int:
        """How many more calls of one runner its program takes."""
        most = program.hello.at_once.get(tool)
        if most is None:
            return self._room(entry, program)
        own = self._members.own
        return most - (call_rows.IN_HAND_OF_TOOL.one(entry.tx, own=own, program=program.id, tool=tool) or 0)

    def _has_place(self, entry: Entry, row: CallRow, program: Program) -> bool:
        # what waits of another runner waits for a place of that one, and is passed over
        has_room = self._room(entry, program) > 0 and self._room_of(entry, program, row.tool) > 0
        return has_room and not self._ahead(entry, row)

    def _ahead(self, entry: Entry, row: CallRow) -> int:
        return call_rows.AHEAD_OF.one(entry.tx, own=self._members.own, n=row.n, tool=row.tool) or 0

    def look(self, entry: Entry, program: Program) -> None:
        """Start what waits for a program, as much as it has room for."""
        own = self._members.own
        while (room := self._room(entry, program)) > 0 and program.is_open:
            full = [tool for tool in program.hello.at_once if self._room_of(entry, program, tool) <= 0]
            found = call_rows.WAITING_FOR.all(entry.tx, own=own, program=program.id, full=to_json(full), limit=room)
            for row in found:
                if self._room_of(entry, program, row.tool) > 0:
                    entry.apart(f"call {row.id}", partial(self._try, entry, row, program))
            if len(found) < room or entry.is_one_by_one:
                return

    def _try(self, entry: Entry, row: CallRow, program: Program) -> None:
        offered, error = self._judged(entry, row)
        if row.expires <= entry.now and self.may_expire():
            self._expire(entry, row)
        elif error is not None or offered is None:
            self.refuse(entry, row, error or self._no_runner(row))
        else:
            self._start(entry, row, program)

    def expire(self, entry: Entry) -> None:
        """End what was not started before its time to live was over."""
        if self.may_expire():
            for row in call_rows.UNSTARTED_EXPIRED.all(entry.tx, own=self._members.own, now=entry.now):
                entry.apart(f"call {row.id}", partial(self._expire, entry, row))

    def _expire(self, entry: Entry, row: CallRow) -> None:
        reason = f"it was not started before its time to live was over: {row.reason}"
        self._ledger.step(entry, row, Step(State.EXPIRED, reason))

    def _start(self, entry: Entry, row: CallRow, program: Program) -> CallRow:
        self._rights.note(entry, row)
        calls.claim(entry.tx, row.id, program.id, entry.now)
        now = self._ledger.step(entry, row, Step(State.STARTING))
        label = self._members.label(row.origin)
        # to this very connection: over another one it is given out by who finds that it is not held
        entry.then(lambda: program.give(now, label))
        entry.then(lambda: self.on_given(now))
        return now

    def fence(self, entry: Entry, row: CallRow) -> CallRow:
        """A call that was claimed has certainly not reached its program: it waits again."""
        calls.claim(entry.tx, row.id, None, None)
        offered = offers.BY_NAME.one(entry.tx, name=row.tool)
        return self._wait(entry, row, offered)

    def _ended(self, entry: Entry, row: CallRow) -> None:
        self.on_moved(entry)
        program = self._programs.get(row.program)
        if program is not None:
            self.look(entry, program)

    # why it waits

    def reason(self, entry: Entry, row: CallRow, offered: Offered | None) -> str:
        """Why a call waits, in words."""
        if offered is None:
            return f"no program offers {row.tool} on {self._members.own_name} any more"
        program = self._programs.get(offered.program)
        if program is None:
            return self.absence(offered)
        return f"{self._in_hand(entry, program, row.tool) + self._ahead(entry, row)}{AHEAD}"

    def _in_hand(self, entry: Entry, program: Program, tool: str) -> int:
        """How many calls have the places that one of a runner waits for."""
        return program.hello.at_once.get(tool, program.hello.parallel) - self._room_of(entry, program, tool)

    async def has_waiting(self, store: Store) -> bool:
        """Whether anything waits here."""
        return bool(await store.all(call_rows.WAITING, own=self._members.own, limit=1))

    def renew(self, entry: Entry) -> None:
        """The line has moved: say anew how many are ahead of what waits in it."""
        before = Counter[str]()
        for row in call_rows.WAITING.all(entry.tx, own=self._members.own, limit=MOST_REWORDED):
            if row.tool not in before:
                before[row.tool] = self._in_hand_of_tool(entry, row.tool)
            said, now = _place(row.reason), before[row.tool]
            if said is not None and now != said and (now <= NEAR or now <= said * NEWS):
                self._ledger.reword(entry, row, f"{now}{AHEAD}")
            before[row.tool] += 1

    def _in_hand_of_tool(self, entry: Entry, tool: str) -> int:
        offered = offers.BY_NAME.one(entry.tx, name=tool)
        program = None if offered is None else self._programs.get(offered.program)
        return 0 if program is None else self._in_hand(entry, program, tool)

    def absence(self, offered: Offered) -> str:
        """Why a runner is not served now."""
        since = rfc3339(offered.served)
        if is_alive(offered.pid, offered.ticks, offered.boot):
            return f"{ABSENT} on {self._members.own_name} is not connected since {since}"
        return f"{ABSENT} is not running on {self._members.own_name} since {since}"

    def reword(self, entry: Entry) -> None:
        """Programs came or went: say anew why what waits does, and refuse what nobody offers any more."""
        for row in call_rows.WAITING.all(entry.tx, own=self._members.own, limit=MOST_REWORDED):
            entry.apart(f"call {row.id}", partial(self._reword, entry, row))

    def _reword(self, entry: Entry, row: CallRow) -> None:
        offered = offers.BY_NAME.one(entry.tx, name=row.tool)
        if offered is None:
            self.refuse(entry, row, self._no_runner(row))
        elif self._programs.get(offered.program) is None:
            self._ledger.reword(entry, row, self.absence(offered))
        elif row.reason.startswith(ABSENT):
            self._ledger.reword(entry, row, self.reason(entry, row, offered))

    def not_shared(self, entry: Entry) -> list[tuple[CallRow, RelayError]]:
        """What is shared was changed: other brokers' calls that wait or run here, of what is shared with nobody now."""
        return [
            (row, self._no_runner(row))
            for row in call_rows.LIVE_HERE.all(entry.tx, own=self._members.own)
            if row.origin != self._members.own
            and row.stop_requested is None
            and self._rights.offered(entry, row) is None
        ]

    def not_granted(self, entry: Entry) -> list[tuple[CallRow, RelayError]]:
        """Grants changed: what waits or runs here and is not granted any more; each refusal is written down.

        Nothing is ended for a file that is broken, nor because of the hour.
        """
        found = [
            (row, error)
            for row in call_rows.LIVE_HERE.all(entry.tx, own=self._members.own)
            if (row.origin != self._members.own or row.chain)
            and row.stop_requested is None
            and (error := self._rights.lack(entry, row)) is not None
        ]
        for row, error in found:
            self._rights.note_refusal(entry, row, error)
        return found


def _place(reason: str) -> int | None:
    """How many it says are ahead; None where it says something else."""
    digits = reason.removesuffix(AHEAD)
    return int(digits) if digits != reason and digits.isdecimal() else None

"""What time asks for: programs that are gone, calls whose time is up."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial

from relay.broker.link import monotonic_ms
from relay.broker.members import Members
from relay.broker.tools.ledger import CallLedger, Step
from relay.broker.tools.line import Line
from relay.broker.tools.names import Names
from relay.broker.tools.programs import Programs, is_alive
from relay.broker.tools.serving import Serving
from relay.core.errors import Code, LocalFault
from relay.core.states import State
from relay.spawn.alarm import Alarm
from relay.store import call_rows, calls, offers
from relay.store.call_rows import CallRow
from relay.store.journal import Entry, Journal

EVERY_S = 1.0
JUMP_MS, MOST_JUMPS = 1_000, 64
"""The clock went on so much further than this broker did: the machine slept, or the clock was set."""
_log = logging.getLogger(__name__)


class Watch:
    """Ends what nobody will end.

    Args:
        members: names.
        journal: where it becomes durable.
        programs, names, serving, ledger, line: as in `room`.
    """

    def __init__(
        self,
        members: Members,
        journal: Journal,
        programs: Programs,
        names: Names,
        serving: Serving,
        ledger: CallLedger,
        line: Line,
    ) -> None:
        self._line = line
        self._members = members
        self._journal = journal
        self._programs = programs
        self._names = names
        self._serving = serving
        self._ledger = ledger
        self.alarm = Alarm(journal.clock, self._ring)
        self._looking: asyncio.Task[None] | None = None
        self._ringing: set[asyncio.Task[None]] = set()
        self._closed = False
        self._noted = journal.clock()
        self._ahead = self._noted - monotonic_ms()
        self._jumps: list[tuple[int, int]] = []
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(self) -> None:
        """Look at what an earlier run of this broker has left; before any program connects."""
        self._ring()
        self.look()

    def clock_was_set(self) -> None:
        """Look at all that waits for a moment by the clock as it is now."""
        if not self._closed:
            self._note_clock()
            self._ring()

    def given(self, row: CallRow) -> None:
        """A call was given to its program."""
        self._note_clock()
        self.alarm.no_later_than(row.due)

    def waits(self, row: CallRow) -> None:
        """A call waits for its program."""
        self._note_clock()
        self.alarm.no_later_than(row.expires)

    # programs that are gone

    def look(self) -> None:
        """A program has left: look every second until nothing hangs on one that is not connected."""
        if self._looking is None and not self._closed:
            self._looking = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        try:
            while not self._closed and await self._hangs():
                await asyncio.wait([self._end], timeout=EVERY_S)
        except LocalFault as fault:
            _log.error("programs that are gone were not looked for: %s", fault.why)
        finally:
            self._looking = None

    async def _hangs(self) -> bool:
        rows = await self._journal.store.all(call_rows.IN_HAND, own=self._members.own)
        parted = [row for row in rows if self._programs.get(row.program) is None]
        known = {each.program: each for each in await self._journal.store.all(offers.ALL)}
        gone = {
            program
            for program in {row.program or "" for row in parted}
            if program not in known or not is_alive(known[program].pid, known[program].ticks, known[program].boot)
        }
        if gone:
            await self._journal.commit(lambda entry: self._lose(entry, gone))
        if self._names.has_refused:
            await self._journal.commit(self._serving.give_names)
        return self._names.has_refused or any((row.program or "") not in gone for row in parted)

    def _lose(self, entry: Entry, gone: set[str]) -> None:
        for row in call_rows.IN_HAND.all(entry.tx, own=self._members.own):
            if row.program in gone and self._programs.get(row.program) is None:
                self._serving.lose(entry, row, f"its program on {self._members.own_name} has ended")

    # calls whose time is up

    async def _next(self) -> int | None:
        due = await self._journal.store.one(call_rows.NEXT_DUE, own=self._members.own)
        return None if due is None else int(due)

    def _note_clock(self) -> None:
        """Notice that this machine slept: the program of a call slept as well, and that was no time of the call's."""
        now = self._journal.clock()
        jump = now - monotonic_ms() - self._ahead
        if jump > JUMP_MS and len(self._jumps) < MOST_JUMPS:
            self._jumps.append((self._noted, jump))
        if abs(jump) > JUMP_MS:
            self._ahead += jump
            self.alarm.look()  # its timer has slept
        self._noted = now

    def _ring(self) -> None:
        task = asyncio.get_running_loop().create_task(self._time_up())
        self._ringing.add(task)
        task.add_done_callback(self._ringing.discard)

    async def _time_up(self) -> None:
        try:
            self._note_clock()
            jumps = tuple(self._jumps)
            await self._journal.commit(lambda entry: self._overdue(entry, jumps))
            del self._jumps[: len(jumps)]
            due, now = await self._next(), self._journal.clock()
            # what is overdue still is so by a clock that is not believed
            self.alarm.no_later_than(due if due is None or due > now else now + 1_000)
        except LocalFault as fault:
            _log.error("calls whose time is up were not ended: %s", fault.why)
            self.alarm.no_later_than(self._journal.clock() + 1_000)
        except Exception:
            _log.exception("calls whose time is up were not ended")
            self.alarm.no_later_than(self._journal.clock() + 1_000)

    def _overdue(self, entry: Entry, jumps: tuple[tuple[int, int], ...]) -> None:
        self._line.expire(entry)
        for noted, jump in jumps:
            calls.put_off(entry.tx, self._members.own, noted, jump)
        calls.begun_by(entry.tx, self._members.own, entry.now)
        for row in call_rows.OVERDUE.all(entry.tx, own=self._members.own, now=entry.now):
            entry.apart(f"call {row.id}", partial(self._end_late, entry, row))

    def _end_late(self, entry: Entry, row: CallRow) -> None:
        why = f"it had no end within {row.timeout_s:g} s"
        error = {
            "code": str(Code.RUNNER_TIMED_OUT),
            "message": f"{row.tool} was not done in time",
            "why": f"{why}; its program was told to stop it, and may have acted",
            "hint": "give it longer with --timeout",
        }
        self._ledger.step(entry, row, Step(State.TIMED_OUT, why, error=error))
        program = self._programs.get(row.program)
        if program is not None:
            message = {"cancel": {"call": row.id, "why": why}}
            entry.then(partial(program.say, message))

    async def close(self) -> None:
        """Look no more."""
        self._closed = True
        self._end.cancel()
        self.alarm.close()
        for task in (self._looking, *self._ringing):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

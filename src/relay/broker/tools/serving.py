"""What programs say: who they are and what they hold, that a call runs, how far it is, and what came of it.

    hello ─ names, what it holds ─► COMMIT ─► welcome ─► calls that wait are claimed ─► COMMIT ─► call
    running, progress … result ─► COMMIT ─► kept
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from relay.broker.members import Members
from relay.broker.tools.ending import ended
from relay.broker.tools.intake import who_stopped
from relay.broker.tools.ledger import CallLedger, Step
from relay.broker.tools.line import Line
from relay.broker.tools.names import Names
from relay.broker.tools.programs import LIBRARY, SHARE, Message, Program, Programs, is_alive, read_hello, read_offers
from relay.broker.tools.progress import Progress
from relay.core.errors import Code, LocalFault, Misuse
from relay.core.states import IN_HAND, State
from relay.spawn.shim import processes
from relay.store import call_rows, offers
from relay.store.call_rows import BY_ID, CallRow
from relay.store.journal import Entry, Journal

RUNS_AFTER_S = 0.1
"""That a call runs is written down after this, unless it has ended: most are over by then."""
MAY_HAVE_ACTED = "it may have acted"
_log = logging.getLogger(__name__)


class Serving:
    """Hears programs.

    Args:
        members: names.
        journal: where it becomes durable.
        programs, names, line, ledger, progress: as in `room`.
        offers_changed: called in the transaction in which what is offered here has changed.
        gone: called on the loop when a program that may still live has left.
    """

    def __init__(
        self,
        members: Members,
        journal: Journal,
        programs: Programs,
        names: Names,
        line: Line,
        ledger: CallLedger,
        progress: Progress,
        offers_changed: Callable[[Entry], None],
        gone: Callable[[], None],
    ) -> None:
        self._members = members
        self._journal = journal
        self._programs = programs
        self._names = names
        self._line = line
        self._ledger = ledger
        self._progress = progress
        self._offers_changed = offers_changed
        self._gone = gone
        self._work: set[asyncio.Task[None]] = set()

    # coming

    async def welcome(self, document: Message, lineage: Collection[int], home: str) -> Program:
        """Take a program in.

        Args:
            document: its first line.
            lineage: the process that is connected, and its ancestors.
            home: the folder of this broker's home, for the program's words.

        Raises:
            Misuse: the line has another form.
            LocalFault: the store cannot be written now.
        """
        hello = read_hello(document, lineage)
        program = Program(hello, processes.ticks(hello.pid), processes.boot_id())
        self._programs.make_room(hello.program)
        program.say({"welcome": {"home": home, "broker": self._members.label(self._members.own)}})
        shares = {each.name for each in await self._journal.store.all(offers.SHARES)}
        if hello.kind == SHARE and hello.offers and not {each.share for each in hello.offers} & shares:
            program.say({"end": "what it serves is shared no more"})
        for name, error in hello.refused:
            program.refuse(name, error)
        await self._journal.commit(lambda entry: self._came(entry, program))
        # only now: what it holds has been looked through, so that nothing is given out to it twice
        self._programs.add(program)
        await self._journal.commit(lambda entry: self._begins(entry, program))
        return program

    def _begins(self, entry: Entry, program: Program) -> None:
        self._line.look(entry, program)
        self._line.reword(entry)

    def _came(self, entry: Entry, program: Program) -> None:
        if self._names.claim(entry, program):
            self._offers_changed(entry)
        for row in call_rows.IN_HAND.all(entry.tx, own=self._members.own):
            if row.program == program.id:
                self._held_or_not(entry, row, program)
        for call in program.hello.holding:
            self._cancel_unwanted(entry, program, call)

    def _cancel_unwanted(self, entry: Entry, program: Program, call: str) -> None:
        row = BY_ID.one(entry.tx, id=call)
        is_its_own = row is not None and row.program == program.id and row.state in IN_HAND
        if row is None or not is_its_own or row.stop_requested is not None:
            why = "it was asked to stop" if is_its_own else "nobody waits for it any more"
            entry.then(lambda: program.say({"cancel": {"call": call, "why": why}}))

    def _held_or_not(self, entry: Entry, row: CallRow, program: Program) -> None:
        if row.id in program.hello.holding:
            self._ledger.reword(entry, row, "")
            entry.then(lambda: self._progress.given(row))
        elif row.state is State.STARTING:
            self._fence(entry, row)
        else:
            self.lose(entry, row, "its program does not know of it any more")

    def _fence(self, entry: Entry, row: CallRow) -> None:
        if row.stop_requested is not None:
            self._ledger.step(entry, row, Step(State.CANCELLED, "stopped before it started"))
        else:
            self._line.fence(entry, row)

    def lose(self, entry: Entry, row: CallRow, why: str) -> None:
        """What a call's program has begun is known by nobody any more."""
        error = {
            "code": str(Code.RUNNER_LOST),
            "message": f"{row.tool} was lost: {why}; {MAY_HAVE_ACTED}",
            "why": "it had been given to its program, and no result of it was kept",
            "hint": f"look at what it has done, then call it again: relay tools call {row.tool}",
        }
        self._ledger.step(entry, row, Step(State.LOST, f"{why}; {MAY_HAVE_ACTED}", error=error))

    # speaking

    async def heard(self, program: Program, message: Message, is_long: bool = False) -> None:
        """Act on a line of a connected program; nothing where another connection of it has taken its place.

        Args:
            program: whose line.
            message: what it says.
            is_long: whether to look through it takes so long that the loop is not to wait for it.

        Raises:
            Misuse: it has another form.
            LocalFault: the store cannot be written now: the connection is to end, so that it is said again.
        """
        if self._programs.get(program.id) is not program:
            return
        if "running" in message:
            self._begin(self._running(program, str(message["running"])[:64]))
        elif "progress" in message:
            self._progress.said(program, message["progress"])
        elif "result" in message:
            await self._result(program, message["result"], is_long)
        elif "offers" in message:
            await self._offers(program, message["offers"])
        elif "leaving" in message:
            await self._leaving(program, message["leaving"])

    def _begin(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _running(self, program: Program, call: str) -> None:
        await asyncio.sleep(RUNS_AFTER_S)

        def decide(entry: Entry) -> None:
            row = BY_ID.one(entry.tx, id=call)
            if row is not None and row.program == program.id and row.state is State.STARTING:
                self._ledger.step(entry, row, Step(State.RUNNING))

        try:
            row = await self._journal.store.one(BY_ID, id=call)
            if row is not None and row.state is State.STARTING:
                await self._journal.commit(decide)
        except LocalFault as fault:
            _log.warning("that a call runs was not written down: %s", fault.why)

    async def _result(self, program: Program, said: Any, is_long: bool) -> None:
        if not isinstance(said, dict) or not isinstance(said.get("call"), str):
            raise Misuse("a result was refused", why="it names no call", hint="relay version")
        call = said["call"][:64]
        is_function = program.hello.kind == LIBRARY
        step = await asyncio.to_thread(ended, said, is_function) if is_long else ended(said, is_function)

        def decide(entry: Entry) -> None:
            row = BY_ID.one(entry.tx, id=call)
            # what has ended meanwhile, or was never its own, changes nothing: it need not be said again
            if row is not None and row.program == program.id and row.state in IN_HAND:
                why = who_stopped(row) if step.state is State.CANCELLED else ""
                self._ledger.step(entry, row, replace(step, reason=why) if why else step)
            entry.then(lambda: program.kept(call))

        await self._journal.commit(decide)
        self._progress.forget(self._members.own, call)

    async def _offers(self, program: Program, documents: Any) -> None:
        found, refused = read_offers(documents, program.hello.kind)
        program.hello = replace(program.hello, offers=found, refused=refused)
        for name, error in refused:
            program.refuse(name, error)
        await self._journal.commit(lambda entry: self._claimed_anew(entry, program))

    def _claimed_anew(self, entry: Entry, program: Program) -> None:
        if self._names.claim(entry, program):
            self._offers_changed(entry)
            self._line.reword(entry)
        self._line.look(entry, program)

    # leaving

    async def _leaving(self, program: Program, never_begun: Any) -> None:
        """A program is about to end: it takes nothing more, and these of its calls it has never begun."""
        if not isinstance(never_begun, list):
            raise Misuse("a word was refused", why="what was never begun is a list of calls", hint="relay version")
        program.takes = False
        back = {str(call)[:64] for call in never_begun}

        def decide(entry: Entry) -> None:
            for row in call_rows.IN_HAND.all(entry.tx, own=self._members.own):
                if row.program == program.id and row.id in back and row.state is State.STARTING:
                    self._fence(entry, row)
            for call in back:
                entry.then(lambda call=call: program.say({"kept": call}))  # type: ignore[misc]

        await self._journal.commit(decide)

    async def left(self, program: Program) -> None:
        """A connection has ended: its program is gone, or comes again.

        Raises:
            LocalFault: the store cannot be written now.
        """
        if self._programs.remove(program):
            await self._journal.commit(lambda entry: self._parted(entry, program))
            self._gone()

    def _parted(self, entry: Entry, program: Program) -> None:
        self._names.left(program)
        offers.note_served(entry.tx, program.id, entry.now)
        entry.event("tool.changed", {"broker": self._members.own})
        lives = is_alive(program.hello.pid, program.ticks, program.boot)
        for row in call_rows.IN_HAND.all(entry.tx, own=self._members.own):
            if row.program == program.id and lives:
                self._ledger.reword(entry, row, f"its program on {self._members.own_name} is not connected now")
            elif row.program == program.id:
                self.lose(entry, row, f"its program on {self._members.own_name} has ended")
        self._line.reword(entry)
        if not lives:
            self.give_names(entry)

    def give_names(self, entry: Entry) -> None:
        """A program is gone: others may have its names."""
        changed = [program for program in self._programs if self._names.claim(entry, program)]
        if changed:
            self._offers_changed(entry)
        for program in self._programs:  # also one that offers just what the former did: calls may wait for that
            self._line.look(entry, program)

    def close(self) -> None:
        """Begin nothing more."""
        for task in self._work:
            task.cancel()



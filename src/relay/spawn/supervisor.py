"""The supervisor: admits spawns, starts them in the order they came, and writes down how each ended.

Decisions stand in journal entries; what follows from a committed one (a launch, a stop) is carried out after it.
After a restart `recover` takes up every attempt the store knows of; none is ever started again.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from relay.core.errors import RelayError
from relay.core.ids import BrokerId
from relay.core.states import IN_HAND as IN_HAND_STATES
from relay.core.states import TERMINAL, State
from relay.core.tails import Tail
from relay.spawn.admission import Admission, Judge
from relay.spawn.agents.registry import Agents
from relay.spawn.asking import Asking
from relay.spawn.attempt import Exited, Started, Vanished
from relay.spawn.attempting import Attempting, End, Fenced, Unlaunchable
from relay.spawn.beginning import Beginning, Underway
from relay.spawn.fencing import after_fence
from relay.spawn.for_sure import ForSure
from relay.spawn.growth import Growth
from relay.spawn.hearing import Hearing
from relay.spawn.ledger import Ledger, Step, ending, running
from relay.spawn.limits import Limits
from relay.spawn.outcome import Outcome, lost, not_started, outcome_of, recorded, with_more_before
from relay.spawn.planning import Planner, begins_in, name_of
from relay.spawn.reading import LogReading
from relay.spawn.remains import Remains
from relay.spawn.retries import last_end, next_attempt
from relay.spawn.taking_up import carried_out, tell_failure
from relay.spawn.waiting_room import WaitingRoom
from relay.store import attempts, spawns
from relay.store.journal import Entry, Journal
from relay.store.reserve import Reserve
from relay.store.spawn_rows import BY_ID, IN_HAND, SpawnRow


class Supervisor:
    """Runs spawns on this machine.

    Args:
        own: this broker's id.
        journal: where decisions are committed.
        ledger: signs the steps.
        attempting: carries attempts out.
        agents: what can be run.
        judge: asked before each start.
        limits: what tasks get.
        growth: told when a transcript grows.
        reserve: given up when an end cannot be written for want of room.
        asking: puts questions to persons.
        remains: brings back what attempts made and changed.
        may_expire: whether this clock is believed, so that anything may be called expired.
        may_view: whether a broker may know of the spawns of others here.
    """

    def __init__(
        self,
        own: BrokerId,
        journal: Journal,
        ledger: Ledger,
        attempting: Attempting,
        agents: Agents,
        judge: Judge,
        limits: Limits,
        growth: Growth,
        reserve: Reserve,
        asking: Asking,
        remains: Remains,
        may_expire: Callable[[], bool] = lambda: True,
        may_view: Callable[[BrokerId, int], bool] = lambda origin, now: False,
    ) -> None:
        self._own = own
        self._journal = journal
        self._ledger = ledger
        self._attempting = attempting
        self._planner = Planner(journal.store, agents, limits, attempting, remains.workshop.make)
        self._stopping: dict[str, str] = {}  # by attempt: the next one of a spawn is not bound by it
        self._running: set[asyncio.Task[None]] = set()
        self._closed = False
        self._underway = Underway()
        self.growth = growth
        self._for_sure = ForSure(journal, reserve)
        self._asking = asking
        self.remains = remains
        self.on_output: Callable[[SpawnRow], None] = lambda row: None
        self.on_over: Callable[[SpawnRow], None] = lambda row: None
        self.on_another: Callable[[SpawnRow], None] = lambda row: None
        self.room = WaitingRoom(
            own, journal, ledger, judge, limits, asking, may_expire, may_view, self._start, self._soon
        )
        remains.take_part(self.room, ledger)

    # inside a transaction

    def admit(self, entry: Entry, row: SpawnRow) -> SpawnRow:
        """Decide on a spawn that has just been delivered; the row as it stands then."""
        return self.room.admit(entry, row)

    def refuse(self, entry: Entry, row: SpawnRow, refusal: RelayError) -> SpawnRow:
        """End a spawn that may not start."""
        return self.room.refuse(entry, row, refusal)

    def _start(self, entry: Entry, row: SpawnRow, admission: Admission) -> SpawnRow:
        n = row.attempt + 1
        coming = dataclasses.replace(row, attempt=n, state=State.STARTING, ran_in=admission.directory)
        self._begin(entry, coming, admission)
        attempts.prepare(entry.tx, row.id, n, name_of(coming), entry.now, begins_in(row, admission))
        started = self._ledger.step(entry, row, Step(State.STARTING, attempt=n, cwd=admission.directory))
        self.room.telling.soon(entry, started)
        return started

    def _begin(self, entry: Entry, row: SpawnRow, admission: Admission) -> None:
        """Have an attempt carried out once it is committed; what may be done before that is done meanwhile."""
        begun: list[Beginning] = []

        def begin() -> None:
            begun.append(Beginning(lambda: name_of(row) in self._stopping))
            self._launch(row, admission, begun[0])

        def decided(is_to_be: bool) -> None:
            if begun:
                begun[0].decide(is_to_be)
            elif is_to_be:
                self._launch(row, admission)

        if row.attempt == 1 and self._underway.is_calm:
            entry.meanwhile(begin, decided)
        else:  # what a later one goes on with is written by this very entry
            entry.then(lambda: decided(True))

    def stop(self, entry: Entry, row: SpawnRow, by: str) -> SpawnRow:
        """Stop a spawn of this machine; at once where it has not started, else the shim is asked after the commit."""
        if row.state in TERMINAL:
            return row
        if row.state not in IN_HAND_STATES:
            when = "between two attempts" if row.attempt else "before it started"
            return self._ledger.step(entry, row, Step(State.CANCELLED, f"stopped by {by} {when}"))
        spawns.request_stop(entry.tx, row.id, entry.now)
        entry.then(lambda: self._go(self._ask_to_stop(row, by)))
        return row

    async def stop_unwritten(self, row: SpawnRow, by: str) -> None:
        """Stop what runs here though the store takes nothing: an attempt's record has its room from its beginning."""
        await self._ask_to_stop(row, by)

    # carrying out

    def _launch(self, row: SpawnRow, admission: Admission, beginning: Beginning | None = None) -> None:
        work = partial(self._attempt, row, admission, beginning)
        carried = self._go(carried_out(work, row, self._journal.store, self._resume, beginning))
        self._underway.add(name_of(row), carried)

    def _go(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(tell_failure)
        if self._closed:
            task.cancel()  # the store is about to close, or has: the next start takes it up, as after a crash
        return task

    def _soon(self, decide: Callable[[Entry], None]) -> None:
        self._go(self._for_sure.commit_or(decide, self.room.ring_again))

    async def _ask_to_stop(self, row: SpawnRow, by: str) -> None:
        self._stopping[name_of(row)] = by
        await self._attempting.stop(name_of(row), by)
        self._go(self._attempting.insist(name_of(row)))

    async def _attempt(self, row: SpawnRow, admission: Admission, beginning: Beginning | None = None) -> None:
        try:
            plan, reading = await self._planner.plan(row, admission)
        except RelayError as fault:
            if beginning is None or await beginning.is_to_be():
                await self._finish(row, not_started(row.id, fault, self._journal.clock()), None)
            return
        if beginning is not None:
            beginning.ahead = await self._attempting.ahead(plan)
            if not await beginning.is_to_be():
                return
        ahead = None if beginning is None else beginning.ahead
        with Hearing(self, row, reading, self._asking.watch(row, self._soon)) as heard:
            end = await self._attempting.run(plan, lambda: self._stopping.get(name_of(row)), heard, ahead)
            heard.over()
            await self._ended(row, end, reading)

    async def _ended(self, row: SpawnRow, end: End, reading: LogReading) -> None:
        self.room.telling.overtaken(row.id)
        self.on_over(row)
        match end:
            case Exited(told, by):
                # a shim that failed could not say how long the log is
                finding, text = await reading.conclude(told.exit_code or 0, None if told.error else told.log_bytes)
                outcome = outcome_of(row.id, told, finding, text, self._planner.timeout(row), by)
                await self._finish_run(row, outcome, reading, text, recorded(told))
            case Fenced() if await self._requeue(row):
                return
            case Vanished() | Fenced():
                survivors = end.survivors if isinstance(end, Vanished) else 0
                finding, text = await reading.conclude(0)
                outcome = lost(row.id, text, self._journal.clock(), survivors, finding.session)
                await self._finish_run(row, outcome, reading, text, None)
            case Unlaunchable(fault):
                await self._finish(row, not_started(row.id, fault, self._journal.clock()), None)

    async def _finish_run(
        self, row: SpawnRow, outcome: Outcome, reading: LogReading, text: str, record: dict[str, Any] | None
    ) -> None:
        """Write down the end of what did run, with what is left of it: its output and its files."""
        tail = await reading.ending(text, row.attempt, self._journal.clock())
        outcome = outcome if tail is None else with_more_before(outcome, tail, record)
        await self._finish(row, await self.remains.of(row, outcome), record, tail)

    async def _finish(
        self, row: SpawnRow, outcome: Outcome, record: dict[str, Any] | None, tail: Tail | None = None
    ) -> None:
        def decide(entry: Entry) -> None:
            now = spawns.require(entry.tx, row.id)
            if now.state not in IN_HAND_STATES or now.attempt != row.attempt:
                return
            attempts.ended(entry.tx, row.id, row.attempt, entry.now, record)
            self._over(entry, now, outcome, tail)
            self.room.look_through(entry)

        await self._for_sure.commit(decide)
        self._attempting.forget_token(name_of(row))
        self._stopping.pop(name_of(row), None)
        self.growth.grew(row.id)

    async def _requeue(self, row: SpawnRow) -> bool:
        """Have it wait once more; False where it was seen running: a task can put its record away."""
        ran = False

        def decide(entry: Entry) -> None:
            nonlocal ran
            now = spawns.require(entry.tx, row.id)
            if now.state is not State.STARTING or now.attempt != row.attempt:
                ran = now.state in IN_HAND_STATES and now.attempt == row.attempt
                return
            attempts.fenced(entry.tx, row.id, row.attempt, entry.now)
            after_fence(entry, now, self._ledger, self.room, self._over)
            self.room.look_through(entry)

        await self._for_sure.commit(decide)
        self._stopping.pop(name_of(row), None)
        return not ran

    def _over(self, entry: Entry, row: SpawnRow, outcome: Outcome, tail: Tail | None = None) -> None:
        another = next_attempt(entry, row, outcome, self.room.may_expire())
        self.remains.settle(entry, row, outcome, is_last=another is None)
        if another is not None:
            self.room.step_to_wait(entry, row, another[0])
            entry.then(lambda: self.on_another(row))
            return self.room.wake_at(entry, another[1])
        self._ledger.step(entry, row, ending(last_end(entry, row, outcome, self.room.may_expire()), tail))

    def expire(self, entry: Entry) -> None:
        """End what was held or waited beyond its time to live."""
        self.room.expire(entry)

    def start_soon(self, entry: Entry) -> None:
        """Start what waits, once this entry is committed."""
        entry.then(lambda: self._go(self.start_waiting()))

    async def start_waiting(self) -> None:
        """Start what waits and may start now."""
        await self._journal.commit(self.room.look_anew)

    def log_of(self, spawn: str, attempt: int) -> Path:
        """The transcript of an attempt on this machine, there or not."""
        return self._planner.log_of(spawn, attempt)

    def started(self, row: SpawnRow) -> None:
        """The task's process is past its exec."""
        self._underway.over(name_of(row))

    def grew(self, row: SpawnRow) -> None:
        """There is new output."""
        self.growth.grew(row.id)
        self.on_output(row)

    def seen_running(self, row: SpawnRow, started: Started) -> None:
        """The task is past its exec and has spoken or lived through its grace."""
        self.room.telling.overtaken(row.id)

        def decide(entry: Entry) -> None:
            now = BY_ID.one(entry.tx, id=row.id)
            if now is not None and now.state is State.STARTING and now.attempt == row.attempt:
                attempts.started(entry.tx, row.id, row.attempt, started.at)
                self._ledger.step(entry, now, running(started))

        self._soon(decide)

    def said(self, row: SpawnRow, words: list[str]) -> None:
        """The agent told of its progress."""
        self._soon(lambda entry: entry.event("spawn.log", {"spawn": row.id, "text": words[-1]}))

    # starting up and going down

    async def recover(self) -> None:
        """Take up every attempt that an earlier run of this broker left unfinished."""
        await self._attempting.open()
        for row in await self._journal.store.all(IN_HAND, target=self._own):
            self._go(carried_out(partial(self._resume, row), row, self._journal.store, self._resume))
        self._go(self.room.telling.tell_waiting())
        for look in (self.room.succession.resume, self.room.anew):
            await self._for_sure.commit_at_start(look, self.room.ring_again)

    async def _resume(self, row: SpawnRow) -> None:
        reading, log = await self._planner.reading(row), self.log_of(row.id, row.attempt)
        if row.stop_requested is not None:
            await self._ask_to_stop(row, "an earlier request")
        boot = await self._journal.store.one(attempts.BOOT, spawn=row.id, n=row.attempt)
        with Hearing(self, row, reading, self._asking.watch(row, self._soon, log)) as heard:
            end = await self._attempting.resume(log.parent.name, heard, boot, self._planner.timeout(row))
            heard.over()
            await self._ended(row, end, reading)

    async def close(self) -> None:
        """Let go of every attempt; all of them go on."""
        self._closed = True
        for room in (self.room, self._attempting, self._asking):
            room.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

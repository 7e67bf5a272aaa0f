"""The rooms of runners, shared tools and calls, put together over one broker."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING

from relay.broker.inbox import Act, Hear, Opened
from relay.broker.tools.as_agents import as_agents
from relay.broker.tools.asking import CallAsking
from relay.broker.tools.catalogues import Catalogues
from relay.broker.tools.hosting import Hosting
from relay.broker.tools.intake import Intake
from relay.broker.tools.ledger import CallLedger
from relay.broker.tools.line import Line
from relay.broker.tools.names import Names
from relay.broker.tools.orders import CallOrders
from relay.broker.tools.places import Places
from relay.broker.tools.programs import SHARE, Message, Program, Programs
from relay.broker.tools.progress import Progress
from relay.broker.tools.rights import ToolRights
from relay.broker.tools.serving import Serving
from relay.broker.tools.sharing import Sharing
from relay.broker.tools.views import ToolViews
from relay.broker.tools.waiters import Waiters
from relay.broker.tools.watch import Watch
from relay.broker.tools.words_again import WordsAgain
from relay.core.errors import LocalFault, RelayError
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.states import NOT_STARTED
from relay.spawn.agents.runner import RunnerAgent
from relay.store import call_rows, calls, offers
from relay.store.call_rows import CallRow
from relay.store.journal import Entry
from relay.store.spawn_rows import SpawnRow

if TYPE_CHECKING:
    from relay.broker.rooms import Rooms

SETTLED_MS = 3_600_000
FORGOTTEN_AFTER_MS = 30 * 86_400_000
"""An offer that nobody has served for so long is none any more."""


class Tools:
    """What runs functions and tools of other brokers, and has its own run.

    Args:
        rooms: of the broker; those that take requests and carry envelopes are made already.
        hosting: keeps the host of MCP servers running.
    """

    def __init__(self, rooms: Rooms, hosting: Hosting) -> None:
        members, journal = rooms.members, rooms.journal
        self._rooms = rooms
        self._members, self._journal, self.hosting = members, journal, hosting
        self.waiters, self.programs = Waiters(), Programs()
        self._for_good = self._closed = False
        self._work: set[asyncio.Task[None]] = set()
        self._ledger = CallLedger(members.own, self.waiters)
        rights = ToolRights(members, rooms.gate, rooms.grants, rooms.auditor)
        self._line = Line(members, self.programs, self._ledger, rights, rooms.clocks.may_expire)
        self._intake = Intake(members, rooms.tasks, self.programs, self._ledger, self._line, rooms.auditor)
        self.asking = CallAsking(members, journal, rooms.outbox, rooms.tasks, self._intake, self.waiters)
        self.orders = CallOrders(members, journal, rooms.tasks)
        self._catalogues, self._progress = Catalogues(members, rights), Progress(members, rooms.mesh)
        names = Names(self.programs)
        self.serving = Serving(
            members, journal, self.programs, names, self._line, self._ledger, self._progress, self._changed, self._gone
        )
        self._watch = Watch(members, journal, self.programs, names, self.serving, self._ledger, self._line)
        self._places = Places(journal, self._line)
        self._line.on_given, self._line.on_waits = self._given, self._watch.waits
        self._line.on_moved = self._places.moved
        self.views = ToolViews(
            members, rooms.store, self.programs, self._progress, self._line, hosting, self._absence
        )
        self.sharing = Sharing(members, journal, rooms.auditor, self.programs, self.views, self._changed_by_person)
        rooms.letters.reissue.tools = WordsAgain(self._catalogues)
        rooms.supervisor.room.agent_lacks.append(self._missing)

    def _absence(self, broker: BrokerId) -> str:
        views, attendance = self._rooms.views, self._rooms.letters.attendance
        return "" if views.is_in_reach(broker) else attendance.absence(broker, self._members.name(broker))

    def _missing(self, entry: Entry, row: SpawnRow) -> str:
        """Why a spawn of a runner cannot start yet, or empty: a call would only wait for its program, and look busy."""
        if not self._rooms.agents.is_runner(row.agent):
            return ""
        offered = offers.BY_NAME.one(entry.tx, name=row.agent)
        return "" if offered is None or self.programs.get(offered.program) else self._line.absence(offered)

    def _given(self, row: CallRow) -> None:
        self._progress.given(row)
        self._watch.given(row)

    def _gone(self) -> None:
        self._watch.look()

    def _changed(self, entry: Entry) -> None:
        self._catalogues.tell(entry)
        entry.event("tool.changed", {"broker": self._members.own})
        found = as_agents(offers.ALL.all(entry.tx), self._members.own)
        entry.then(lambda: self._spawnable(found))

    def _spawnable(self, found: dict[str, RunnerAgent]) -> None:
        self._rooms.agents.runners = found

    def _changed_by_person(self, entry: Entry) -> None:
        self._changed(entry)
        self._end(entry, self._line.not_shared(entry), "a change of what is shared")
        self._line.reword(entry)

    def _end(self, entry: Entry, found: list[tuple[CallRow, RelayError]], by: str) -> None:
        """Refuse what has not begun, stop what has."""
        for row, error in found:
            if row.state in NOT_STARTED:
                self._line.refuse(entry, row, error)
            else:
                self._intake.stop(entry, row, by)

    # envelopes

    @property
    def acts(self) -> dict[Kind, Act]:
        """Durable kinds."""
        return self.asking.acts | self._intake.acts | self._catalogues.acts

    @property
    def hears(self) -> dict[Kind, Hear]:
        """Other kinds."""
        return self._progress.hears

    def has_taken(self, entry: Entry, each: Opened) -> bool:
        """Whether the call that an envelope asks for is here."""
        return self._intake.has_taken(entry, each)

    # programs

    async def welcome(self, document: Message, lineage: Collection[int]) -> Program:
        """Take a program in: as `Serving.welcome`."""
        program = await self.serving.welcome(document, lineage, self._rooms.home.path)
        await self._rooms.supervisor.start_waiting()
        return program

    # what changes around

    async def grants_changed(self) -> None:
        """What is not granted any more ends where it waits; who may know of the tools here is told of them."""

        def decide(entry: Entry) -> None:
            self._end(entry, self._line.not_granted(entry), "a change of its grant")
            self._catalogues.tell(entry)

        await self._journal.commit(decide)

    def link_changed(self, peer: BrokerId, up: bool) -> None:
        """A link came up: its peer is told of the tools here, where it has not been yet."""
        if up and not self._closed:
            task = asyncio.get_running_loop().create_task(self._tell(peer))
            self._work.add(task)
            task.add_done_callback(self._work.discard)

    async def _tell(self, peer: BrokerId) -> None:
        with contextlib.suppress(LocalFault):  # told when something changes, or the link comes again
            await self._journal.commit(lambda entry: self._catalogues.tell(entry, peer))

    def clock_was_set(self) -> None:
        """The machine slept, or its clock was set: see whose time is up."""
        self._watch.clock_was_set()

    def expire(self, entry: Entry) -> None:
        """End what came, or left, too late."""
        self.asking.expire(entry)

    def forget(self, entry: Entry, until: int, kept_ms: int) -> int:
        """Forget calls that ended so long before a time that is believed, a step of them; how many.

        Of what ran here for others, and is told, the long arguments and results go after an hour.
        """
        calls.lighten(entry.tx, self._members.own, until - SETTLED_MS)
        for program in self.programs:
            offers.note_served(entry.tx, program.id, entry.now)
        offers.forget_before(entry.tx, until - FORGOTTEN_AFTER_MS)
        return calls.purge(entry.tx, until - kept_ms)

    def forget_member(self, entry: Entry, broker: BrokerId) -> None:
        """A member is put out: what was to be sent to it ends, what it told is known no more."""
        self.asking.withdraw(entry, broker)
        if offers.forget_heard(entry.tx, broker):
            entry.event("tool.changed", {"broker": broker})

    # the broker's own life

    async def open(self) -> None:
        """Go on where an earlier run of this broker stopped: before anything comes in.

        Raises:
            LocalFault: the store cannot be written.
        """
        self._ledger.open(self._journal)
        await self._journal.commit(self._recover)
        await self._watch.open()

    def _recover(self, entry: Entry) -> None:
        # of what is open its origin may lack the last word: it was to be told in a moment
        for row in call_rows.LIVE_HERE.all(entry.tx, own=self._members.own):
            if row.origin != self._members.own and row.seq > 0:
                entry.apart(f"call {row.id}", partial(self._ledger.tell, entry, row))
        self._line.reword(entry)
        self._catalogues.tell(entry)

    async def ready(self) -> None:
        """Programs may connect."""
        await self.hosting.open(await self._journal.store.all(offers.SHARES))

    def ends_for_good(self) -> None:
        """A person asked the broker to stop: what it started stops as well, and does not come back by itself."""
        self._for_good = True
        self.programs.end(SHARE, "its broker was stopped")

    async def close(self) -> None:
        """Let programs go; what they run goes on, and they come again."""
        self._closed = True
        for task in self._work:
            task.cancel()
        self.waiters.close()
        self._places.close()
        await self.hosting.close(self._for_good)
        self.programs.close()
        await self._watch.close()
        self.serving.close()
        self._ledger.close()

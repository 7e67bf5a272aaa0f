"""Calls at their target: taken in, started or put in line, stopped."""

from __future__ import annotations

from dataclasses import replace

from relay.broker.auditor import Auditor, refusal
from relay.broker.inbox import Act, Opened
from relay.broker.members import Members
from relay.broker.tasks import Tasks
from relay.broker.tools.ledger import CallLedger, Step
from relay.broker.tools.line import Line
from relay.broker.tools.programs import Programs
from relay.core.calls import MAX_TTL_S, CallRequest, request_from_content
from relay.core.errors import Code, PeerFault, Refused, RelayError
from relay.core.ids import BrokerId, is_spawn_id
from relay.core.kinds import Kind
from relay.core.states import NOT_STARTED, State
from relay.core.wire import pack
from relay.store import call_rows, calls, words
from relay.store.call_rows import BY_ID, CallRow
from relay.store.journal import Entry

MOST_OPEN_EACH = 500
"""Calls of one origin that wait or run here."""
LONGEST_MS = MAX_TTL_S * 1000  # whatever its origin says
TOMBSTONE_MS = 31 * 86_400_000
ASKED, NOT_YET = "asked to stop by ", "; its program has not ended it yet"


class Intake:
    """Acts on what other brokers, and this one's clients, ask of the runners here.

    Args:
        members: names.
        tasks: proves chains of origin.
        programs: told of stops.
        ledger, line: as in `room`.
        auditor: the audit log.
    """

    def __init__(
        self, members: Members, tasks: Tasks, programs: Programs, ledger: CallLedger, line: Line, auditor: Auditor
    ) -> None:
        self._members = members
        self._tasks = tasks
        self._programs = programs
        self._ledger = ledger
        self._line = line
        self._auditor = auditor

    @property
    def acts(self) -> dict[Kind, Act]:
        """By kind."""
        return {Kind.TOOL_CALL: self._call, Kind.TOOL_STOP: self._stopped}

    def has_taken(self, entry: Entry, each: Opened) -> bool:
        """Whether the call that an envelope asks for is here."""
        row = BY_ID.one(entry.tx, id=str(each.body.content["call"]))
        return row is not None and row.origin == each.header.origin

    def _call(self, entry: Entry, each: Opened) -> None:
        request, origin = request_from_content(each.body.content), each.header.origin
        known = BY_ID.one(entry.tx, id=request.id)
        if known is not None:
            if known.origin != origin or known.target != self._members.own:
                raise PeerFault("a call was refused", code=Code.CONFLICT, why="its id belongs to another broker's call")
            return
        if (call_rows.LIVE_OF.one(entry.tx, own=self._members.own, origin=origin) or 0) >= MOST_OPEN_EACH:
            why = f"{MOST_OPEN_EACH} calls of it wait or run on {self._members.own_name}"
            raise Refused("too many calls are open", code=Code.TOO_MANY, why=why, hint="relay tools calls")
        self._take(entry, each, request)

    def _take(self, entry: Entry, each: Opened, request: CallRequest) -> None:
        error, links = None, None
        try:
            links = self._tasks.proved(each, request.chain, request.id)
        except RelayError as fault:
            error = fault
        row = calls.insert(
            entry.tx,
            replace(request, expires=min(request.expires, entry.now + LONGEST_MS)),
            origin=each.header.origin,
            target=self._members.own,
            state=State.DELIVERED,
            now=entry.now,
            links=None if links is None else pack(links),
        )
        if error is None:
            self.admit(entry, row)
        else:
            self._auditor.write(entry, refusal(row.origin, "tool", error, f"{row.id} {row.tool}"))
            self._line.refuse(entry, row, error)

    def admit(self, entry: Entry, row: CallRow) -> CallRow:
        """Start a call, or put it in line; the row as it is then."""
        if words.is_buried(entry.tx, row.origin, row.id):
            return self._ledger.step(entry, row, Step(State.CANCELLED, "stopped by its origin before it came"))
        if row.expires <= entry.now and self._line.may_expire():
            return self._ledger.step(entry, row, Step(State.EXPIRED, "it came after its time to live"))
        return self._line.admit(entry, row)

    # stopping

    def _stopped(self, entry: Entry, each: Opened) -> None:
        origin, call = each.header.origin, each.body.content["call"]
        if not is_spawn_id(call):
            raise PeerFault("a stop was refused", why="it names no call")
        row = BY_ID.one(entry.tx, id=call)
        if row is None:
            self._bury(entry, origin, call)
        elif row.origin != origin or row.target != self._members.own:
            why = "it was asked for by another broker"
            error = Refused("a stop was refused", code=Code.UNKNOWN_CALL, why=why, hint="relay tools calls")
            self._auditor.write(entry, refusal(origin, "stop", error, call))
        elif row.is_live:
            self.stop(entry, row, self._members.name(origin))

    def _bury(self, entry: Entry, origin: BrokerId, call: str) -> None:
        if not words.bury(entry.tx, origin, call, entry.now + TOMBSTONE_MS):
            raise PeerFault("a stop was refused", code=Code.RATE_LIMITED, why="too many came before their calls")

    def stop(self, entry: Entry, row: CallRow, by: str) -> CallRow:
        """Stop a live call: certain where it has not started; else its program is told, and says how it ends."""
        if row.state in NOT_STARTED:
            return self._ledger.step(entry, row, Step(State.CANCELLED, f"stopped by {by} before it started"))
        if calls.request_stop(entry.tx, row.id, entry.now):
            program, why = self._programs.get(row.program), f"stopped by {by}"
            if program is not None:
                entry.then(lambda: program.say({"cancel": {"call": row.id, "why": why}}))
            return self._ledger.reword(entry, row, f"{ASKED}{by}{NOT_YET}")
        return row


def who_stopped(row: CallRow) -> str:
    """Who asked a call to stop that its program has now ended, in words; empty where that is not known."""
    by = row.reason.removeprefix(ASKED).removesuffix(NOT_YET)
    if row.stop_requested is None or by == row.reason:
        return ""
    return f"stopped by {by}{' while it ran' if row.state is State.RUNNING else ''}"

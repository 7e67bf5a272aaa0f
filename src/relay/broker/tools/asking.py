"""Calls at their origin: accepted of a client, sent, stopped, and moved on by their target's word."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from relay.broker.inbox import Act, Opened, Pointless
from relay.broker.members import Members
from relay.broker.outbox import Outbox
from relay.broker.tasks import Caller, Tasks
from relay.broker.tools.intake import Intake
from relay.broker.tools.ledger import state_event
from relay.broker.tools.orders import CallOrder
from relay.broker.tools.waiters import Waiters
from relay.broker.words import rfc3339
from relay.core import ids
from relay.core.calls import Piece, Word, with_whole, word_from_content
from relay.core.errors import Code, Misuse, Refused, RelayError
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.provenance import KEY, links_from_content, links_to_content
from relay.core.states import TERMINAL, State
from relay.core.wire import pack, unpack
from relay.store import call_rows, calls, operations, outbox
from relay.store.call_rows import BY_ID, CallRow, request_of
from relay.store.journal import Entry, Journal, Letter
from relay.store.outbox import OutboxLine

MOST_OPEN = 10_000
MOST_CAUSED = 1_000
"""How many calls one spawn may make, all its attempts together."""
MAX_LINKS = 8 * 1024
STOP = "uncall/"
CALL = "call/"


class CallAsking:
    """Takes calls of this machine's clients.

    Args:
        members: names.
        journal: where they become durable.
        outbox: for what may be taken back.
        tasks: for what tasks ask for.
        intake: for what runs here.
        waiters: told of each change.
    """

    def __init__(
        self, members: Members, journal: Journal, outbox: Outbox, tasks: Tasks, intake: Intake, waiters: Waiters
    ) -> None:
        self._members = members
        self._journal = journal
        self._outbox = outbox
        self._tasks = tasks
        self._intake = intake
        self._waiters = waiters

    @property
    def acts(self) -> dict[Kind, Act]:
        """By kind."""
        return {Kind.TOOL_RESULT: self._said}

    # for clients

    async def call(self, order: CallOrder, caller: Caller | None = None) -> CallRow:
        """Accept a call; when this returns it is on disk.

        Raises:
            Misuse: its operation id was used for something else.
            Refused: the task is over, or has called enough; or too many are open.
            LocalFault: the store or the outbox is full.
        """
        return await self._journal.commit(lambda entry: self._accept(entry, order, caller))

    def _accept(self, entry: Entry, order: CallOrder, caller: Caller | None) -> CallRow:
        earlier = operations.ANSWER.one(entry.tx, op=order.operation)
        if earlier is not None:
            return self._earlier(entry, order, earlier)
        if (call_rows.LIVE_THERE.one(entry.tx, own=self._members.own) or 0) >= MOST_OPEN:
            raise Refused("too many calls are open", code=Code.TOO_MANY, why=f"{MOST_OPEN} are", hint="relay outbox")
        parent, links = self._caused(entry, order, caller)
        local = order.target == self._members.own
        row = calls.insert(
            entry.tx,
            order.request,
            origin=self._members.own,
            target=order.target,
            state=State.DELIVERED if local else State.QUEUED,
            now=entry.now,
            parent=parent,
            links=links,
        )
        operations.remember(entry.tx, order.operation, entry.now, {"call": row.id})
        return self._intake.admit(entry, row) if local else self._send(entry, row)

    def _earlier(self, entry: Entry, order: CallOrder, earlier: Any) -> CallRow:
        row = BY_ID.one(entry.tx, id=str(earlier.get("call"))) if isinstance(earlier, dict) else None
        asked = (order.request.tool, order.request.arguments, order.target)
        if row is None or (row.tool, row.arguments, row.target) != asked:
            why = "its operation id was used for something else"
            raise Misuse("the call was not accepted", code=Code.CONFLICT, why=why, hint="choose another operation id")
        return row

    def _caused(self, entry: Entry, order: CallOrder, caller: Caller | None) -> tuple[str | None, bytes | None]:
        if caller is None:
            return None, None
        parent = self._tasks.parent_of(entry, caller)
        if (call_rows.CAUSED.one(entry.tx, parent=parent.id) or 0) >= MOST_CAUSED:
            why = f"it has made {MOST_CAUSED} calls, which is as many as one spawn may make"
            hint = "call more yourself: relay tools call NAME"
            raise Refused(f"{parent.name} may call no more tools", code=Code.TOO_MANY, why=why, hint=hint)
        links = self._tasks.links_of_child(entry, parent, order.request.id, order.target)
        return parent.id, pack(links_to_content(links))

    def _send(self, entry: Entry, row: CallRow) -> CallRow:
        content = request_of(row).to_content()
        if row.links is not None:
            content[KEY] = links_to_content(links_from_content(unpack(row.links, MAX_LINKS)))
        letter = Letter(row.target, Kind.TOOL_CALL, content, CALL + row.id, row.expires - row.created)
        if not entry.post(letter):
            raise Misuse("that broker is no member any more", code=Code.UNKNOWN_BROKER, hint="relay brokers")
        entry.event("call.state", state_event(row))
        return row

    async def find(self, call: str) -> CallRow:
        """A call that is known here.

        Raises:
            Misuse: `unknown_call`.
        """
        row = await self._journal.store.one(BY_ID, id=call.lower()) if ids.is_spawn_id(call.lower()) else None
        if row is None:
            raise calls.unknown(call)
        return row

    async def shown(self, call: str, wait_s: float) -> CallRow:
        """A call once it has ended, or as it stands after so many seconds.

        Raises:
            Misuse: `unknown_call`.
        """
        with self._waiters.watch(call.lower()) as ended:
            row = await self.find(call)
            return await self.until(row, wait_s, ended)

    async def until(self, row: CallRow, wait_s: float, ended: Any) -> CallRow:
        """As `shown`, for a row that was read while it is watched."""
        if row.is_live and wait_s > 0:
            await asyncio.wait([ended], timeout=wait_s)
            if ended.done() and ended.result() is not None:
                return ended.result()  # type: ignore[no-any-return]
            return await self.find(row.id)
        return row

    # stopping

    async def stop(self, call: str, by: str) -> CallRow:
        """Stop a call, wherever it is; at once where it was never sent.

        Raises:
            Misuse: `unknown_call`.
        """
        row = await self.find(call)
        return await self._journal.commit(lambda entry: self._stop(entry, row.id, by))

    def _stop(self, entry: Entry, call: str, by: str) -> CallRow:
        row = calls.require(entry.tx, call)
        if row.state in TERMINAL:
            return row
        if row.target == self._members.own:
            return self._intake.stop(entry, row, by)
        if self._take_back(entry, row, State.CANCELLED, f"stopped by {by}, never sent"):
            return calls.require(entry.tx, call)
        if calls.request_stop(entry.tx, call, entry.now):
            ttl = max(row.expires - row.created, 86_400_000)
            entry.post(Letter(row.target, Kind.TOOL_STOP, {"call": call}, STOP + call, ttl))
        return calls.require(entry.tx, call)

    def _take_back(self, entry: Entry, row: CallRow, state: State, reason: str) -> bool:
        lines = outbox.OF_OPERATIONS.all(
            entry.tx, recipient=row.target, kind=Kind.TOOL_CALL, begin=CALL + row.id
        )
        if row.state is not State.QUEUED or row.first_word is not None or not lines:
            return False
        if not self._outbox.withdraw(entry, lines):
            return False
        self._end(entry, row, state, reason)
        return True

    def withdraw(self, entry: Entry, broker: BrokerId) -> None:
        """End what was to be sent to a member that is put out, where it was never sent."""
        for line in outbox.OF_OPERATIONS.all(entry.tx, recipient=broker, kind=Kind.TOOL_CALL, begin=CALL):
            row = BY_ID.one(entry.tx, id=line.operation.removeprefix(CALL))
            if row is not None:
                reason = "stopped by its broker being put out of the workspace, never sent"
                self._take_back(entry, row, State.CANCELLED, reason)

    def _end(self, entry: Entry, row: CallRow, state: State, reason: str, error: RelayError | None = None) -> None:
        document = None if error is None else error.to_json()
        if calls.end_untaken(entry.tx, row.id, state, reason, entry.now, document):
            self._changed(entry, calls.require(entry.tx, row.id))

    def _changed(self, entry: Entry, row: CallRow) -> None:
        entry.event("call.state", state_event(row))
        entry.then(lambda: self._waiters.tell(row))

    def expire(self, entry: Entry) -> None:
        """End what was never sent before its time to live was over; leave what may have been taken."""
        for row in call_rows.UNSENT_EXPIRED.all(entry.tx, own=self._members.own, now=entry.now):
            entry.apart(f"call {row.id}", partial(self._expire, entry, row))

    def _expire(self, entry: Entry, row: CallRow) -> None:
        if not self._take_back(entry, row, State.EXPIRED, "it was not sent before its time to live was over"):
            self._without_word(entry, row)

    def _without_word(self, entry: Entry, row: CallRow) -> None:
        where = self._members.name(row.target)
        reason = f"no word since {rfc3339(row.since)}; its time to live is over, but {where} may have taken it"
        if row.reason != reason:
            calls.explain(entry.tx, row.id, reason)

    def drop(self, entry: Entry, line: OutboxLine, by: str) -> bool:
        """A person takes a call's envelope out of the outbox; False where it may have been sent."""
        row = BY_ID.one(entry.tx, id=line.operation.partition("/")[2])
        if line.kind == Kind.TOOL_STOP:
            if line.tries == 0 and row is not None:
                calls.clear_stop(entry.tx, row.id)
            return line.tries == 0
        return row is None or self._take_back(entry, row, State.CANCELLED, f"dropped by {by}, never sent")

    def has_ended(self, entry: Entry, line: OutboxLine) -> bool:
        """Whether the call that an envelope asks for has ended."""
        row = BY_ID.one(entry.tx, id=line.operation.removeprefix(CALL))
        return row is not None and not row.is_live

    def refused_by_peer(self, entry: Entry, line: OutboxLine, error: RelayError, never_taken: bool) -> None:
        """The target answered the request with a NACK: as `Requests.refused_by_peer`."""
        row = BY_ID.one(entry.tx, id=line.operation.removeprefix(CALL))
        if row is None or row.target != line.recipient or row.first_word is not None:
            return  # a late copy was refused, of a call that it took long ago
        if error.code is Code.EXPIRED and not never_taken:
            self._without_word(entry, row)
            return
        state = State.EXPIRED if error.code is Code.EXPIRED else State.REJECTED
        self._end(entry, row, state, f"{error.message}: {error.why}" if error.why else error.message, error)

    # the target's word

    def _said(self, entry: Entry, each: Opened) -> None:
        said = word_from_content(each.body.content)
        row = BY_ID.one(entry.tx, id=said.call)
        if row is None or row.origin != self._members.own or row.target != each.header.origin or said.seq <= row.seq:
            raise Pointless
        if isinstance(said, Piece):
            self._piece(entry, row, said)
        elif said.pieces:
            calls.keep_word(entry.tx, row.id, said.seq, pack(said.to_content()))
            self._if_whole(entry, row, said)
        else:
            self._apply(entry, row, said)

    def _piece(self, entry: Entry, row: CallRow, piece: Piece) -> None:
        calls.keep_piece(entry.tx, piece)
        kept = call_rows.KEPT_WORD.one(entry.tx, call=row.id, seq=piece.seq)
        if kept is not None:
            word = word_from_content(unpack(kept, len(kept)))
            assert isinstance(word, Word)
            self._if_whole(entry, row, word)

    def _if_whole(self, entry: Entry, row: CallRow, word: Word) -> None:
        found = calls.whole(entry.tx, row.id, word.seq, word.pieces)
        if found is not None:
            self._apply(entry, row, with_whole(word, found))

    def _apply(self, entry: Entry, row: CallRow, word: Word) -> None:
        if calls.apply(entry.tx, word, entry.now):
            if word.state in TERMINAL:
                calls.drop_pieces(entry.tx, row.id)
            self._changed(entry, calls.require(entry.tx, row.id))

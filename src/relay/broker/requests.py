"""What this broker asks for: spawns and stops, here or elsewhere, each durable before it is answered."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from relay.broker import once_more
from relay.broker.asked_before import earlier_spawn, remember
from relay.broker.members import Members, no_member
from relay.broker.orders import Order, read_order
from relay.broker.outbox import Outbox
from relay.broker.tasks import Caller, Tasks
from relay.broker.words import rfc3339
from relay.core.errors import Code, LocalFault, Misuse, RelayError
from relay.core.ids import SHORT_CHARS, BrokerId, is_spawn_id
from relay.core.kinds import Kind
from relay.core.spawning import SpawnRequest
from relay.core.states import IN_HAND, TERMINAL, State
from relay.core.wishes import After
from relay.spawn.requests import request_of
from relay.spawn.supervisor import Supervisor
from relay.store import channels, outbox, queueing, schedules, spawns
from relay.store.faults import UNWRITABLE
from relay.store.journal import Entry, Journal, Letter
from relay.store.schedules import Schedule
from relay.store.spawn_lists import NO_LIMIT
from relay.store.spawn_rows import (
    BY_ID,
    BY_NAME,
    BY_PREFIX,
    FOR_OTHERS,
    NEXT_UNSENT_TO_EXPIRE,
    UNSENT_EXPIRED,
    SpawnRow,
)

MIN_PREFIX = 4
LONGEST_TTL = 30 * 86_400_000


def _as_it_is(
    entry: Entry, request: SpawnRequest, row: SpawnRow, content: dict[str, Any]
) -> dict[str, Any]:
    return content


class Requests:
    """Takes orders of this machine's clients.

    Args:
        members: names.
        journal: where they become durable.
        supervisor: for what runs here.
        outbox: for what may be taken back.
        tasks: for what tasks ask for.
    """

    def __init__(
        self, members: Members, journal: Journal, supervisor: Supervisor, outbox: Outbox, tasks: Tasks
    ) -> None:
        self._tasks = tasks
        self.on_accepted: Callable[[Entry, SpawnRow], None] = lambda entry, row: None
        self.on_deadline: Callable[[Entry, SpawnRow], None] = lambda entry, row: None
        self.with_voucher: Callable[[Entry, SpawnRequest, SpawnRow, dict[str, Any]], dict[str, Any]] = _as_it_is
        self._members = members
        self._journal = journal
        self._supervisor = supervisor
        self._outbox = outbox

    def read(self, body: dict[str, Any]) -> Order:
        """The order in a client's JSON.

        Raises:
            Misuse: a field is missing or wrong.
        """
        return read_order(body, self._members, self._journal.clock())

    async def spawn(self, order: Order, caller: Caller | None = None) -> SpawnRow:
        """Accept an order; when this returns it is on disk.

        Args:
            order: what is asked for.
            caller: the task that asks; None for a person.

        Raises:
            Misuse: its name is in use, or its operation id was used for something else.
            Refused: the task is over, or has caused enough.
            LocalFault: the store or the outbox is full.
        """
        return await self._journal.commit(lambda entry: self.accept(entry, order, caller))

    def accept(self, entry: Entry, order: Order, caller: Caller | None) -> SpawnRow:
        """As `spawn`, inside a transaction."""
        earlier = earlier_spawn(entry.tx, order)
        if earlier is not None:
            return earlier
        if caller is not None:
            self._tasks.caused(entry, order, caller)
        local = order.target == self._members.own
        row = spawns.insert(
            entry.tx,
            order.request,
            origin=self._members.own,
            target=order.target,
            operation=order.operation,
            state=State.DELIVERED if local else State.QUEUED,
            since=entry.now,
        )
        remember(entry.tx, order, entry.now, {"spawn": row.id})
        if order.is_told:
            channels.ask(entry.tx, row.id)
        row = self._supervisor.admit(entry, row) if local else self._send(entry, order, row)
        self.on_accepted(entry, row)
        return row

    def _send(self, entry: Entry, order: Order, row: SpawnRow) -> SpawnRow:
        if order.request.wishes.after:
            queueing.put_after(entry.tx, row.id, order.request.wishes.after)
        self._post(entry, order.request, row)
        self.tell_what_ended(entry, row, row.wishes.after)
        self.on_deadline(entry, row)
        entry.event("spawn.state", {"spawn": row.id, "state": "queued", "reason": "", "broker": row.target})
        return row

    def _post(self, entry: Entry, request: SpawnRequest, row: SpawnRow) -> None:
        # one that is not to start for long waits there, and not in its envelope
        ttl = min(request.expires - request.created, LONGEST_TTL)
        content = self.with_voucher(entry, request, row, self._tasks.content(entry, request))
        if not entry.post(Letter(row.target, Kind.SPAWN, content, row.operation, ttl, row.id)):
            raise no_member(self._members.name(row.target))

    def change_unsent(self, entry: Entry, row: SpawnRow, change: Callable[[], None]) -> bool:
        """Change a request that has certainly not left yet; False, and nothing is done, where it may have.

        What its target has to know before it may start goes in front of it.

        Args:
            entry: the transaction.
            row: the spawn at its origin.
            change: changes its row.
        """
        lines = outbox.BY_SPAWN.all(entry.tx, spawn=row.id)
        if row.state is not State.QUEUED or row.first_word is not None or not lines:
            return False
        if not self._outbox.withdraw(entry, lines):
            return False
        change()
        now = spawns.require(entry.tx, row.id)
        if now.paused is not None:
            # its order is the moment of the mark: what is asked of the spawn from now on is later
            body = {"spawn": row.id, "verb": "pause", "order": now.paused}
            body |= {"by": (now.paused_by or "somebody").partition(" on ")[0]}
            operation = f"pause/{row.id}/{entry.now}"
            entry.post(Letter(row.target, Kind.STEER, body, operation, LONGEST_TTL, row.id))
        self._post(entry, request_of(now), now)
        self.on_deadline(entry, now)
        self.tell_what_ended(entry, now, now.wishes.after)
        return True

    async def find(self, ref: str, rather: BrokerId | None = None) -> SpawnRow:
        """The spawn a person means: an id's beginning, a name, or name@broker.

        Args:
            ref: what was typed.
            rather: of several the one on this broker is meant.

        Raises:
            Misuse: `unknown_spawn`, or `ambiguous` with the candidates.
        """
        store = self._journal.store
        # a whole id is that spawn's, whatever others are called; names were chosen by who asked for them
        if is_spawn_id(ref.lower()) and (row := await store.one(BY_ID, id=ref.lower())) is not None:
            return row
        name, at, broker = ref.partition("@")
        target = self._members.resolve(broker) if at else None
        found = await store.all(BY_NAME, name=name, target=target)
        if not at and len(ref) >= MIN_PREFIX and ref.isalnum():
            begun = await store.all(BY_PREFIX, prefix=ref.lower())
            # among very many that have ended some id begins as a common name: what is printed of an id is longer
            told_apart = not found or len(ref) >= SHORT_CHARS
            known = {row.id for row in found}
            found += [row for row in begun if row.id not in known and (told_apart or row.state not in TERMINAL)]
        if len(found) > 1:
            found = [row for row in found if row.target == rather] or found
        if len(found) == 1:
            return found[0]
        raise self._several(ref, found) if found else _none(ref)

    def _several(self, ref: str, found: list[SpawnRow]) -> Misuse:
        listed = ", ".join(f"{row.name}@{self._members.name(row.target)} {row.id} ({row.state})" for row in found[:10])
        return Misuse(f"{ref!r} may be several spawns", code=Code.AMBIGUOUS, why=listed, hint="name one by its id")

    async def stop(self, ref: str, operation: str, by: str) -> SpawnRow:
        """Stop a spawn, wherever it is; at once where it was never sent.

        Args:
            ref: which.
            operation: the client's.
            by: who asks, for the words.

        Raises:
            Misuse: there is none such.
            LocalFault: the store takes nothing, and it is not running here.
        """
        row = await self.find(ref)
        try:
            return await self._journal.commit(lambda entry: self._stop(entry, row.id, operation, by))
        except LocalFault as fault:
            if fault.code not in UNWRITABLE or row.target != self._members.own or row.state not in IN_HAND:
                raise
        await self._supervisor.stop_unwritten(row, by)  # it may be what fills the disk
        return row

    def _stop(self, entry: Entry, spawn: str, operation: str, by: str) -> SpawnRow:
        row = spawns.require(entry.tx, spawn)
        if row.state in TERMINAL:
            if once_more.is_to_be_stopped(entry, self._outbox, spawn, by):
                self._post_stop(entry, row, operation)
            return row
        if row.target == self._members.own:
            return self._supervisor.stop(entry, row, by)
        if row.state is State.QUEUED and self._take_back(entry, row, State.CANCELLED, f"stopped by {by}, never sent"):
            return spawns.require(entry.tx, spawn)
        if spawns.request_stop(entry.tx, spawn, entry.now) or not once_more.is_under_way(entry, spawn):
            self._post_stop(entry, row, operation)
        return spawns.require(entry.tx, spawn)

    def _post_stop(self, entry: Entry, row: SpawnRow, operation: str) -> None:
        ttl = min(row.expires - row.created, LONGEST_TTL)
        if not entry.post(Letter(row.target, Kind.STOP, {"spawn": row.id}, operation, ttl, row.id)):
            raise no_member(self._members.name(row.target))

    def _take_back(self, entry: Entry, row: SpawnRow, state: State, reason: str) -> bool:
        lines = outbox.BY_SPAWN.all(entry.tx, spawn=row.id)
        if row.first_word is not None or not lines or not self._outbox.withdraw(entry, lines):
            return False
        spawns.end_untaken(entry.tx, row.id, state, reason, entry.now)
        self.tell_dependents(entry, row)
        entry.event("spawn.state", {"spawn": row.id, "state": str(state), "reason": reason, "broker": row.target})
        return True

    async def end_what_is_not_granted(
        self, why_ended: Callable[[BrokerId], str | None], unschedule: Callable[[Entry, Schedule], None]
    ) -> None:
        """End what runs, waits or is scheduled here for brokers that have no grant to spawn any more."""

        def decide(entry: Entry) -> None:
            for row in FOR_OTHERS.all(entry.tx, own=self._members.own):
                others = (each for each in (row.origin, *row.chain) if each != self._members.own)
                why = next(filter(None, map(why_ended, others)), None)
                if why is not None:
                    entry.apart(f"spawn {row.id}", partial(self._supervisor.stop, entry, row, why))
            for schedule in schedules.LIVE_HERE.all(entry.tx, target=self._members.own):
                if schedule.origin != self._members.own and why_ended(schedule.origin) is not None:
                    entry.apart(f"schedule {schedule.id}", partial(unschedule, entry, schedule))

        await self._journal.commit(decide)

    def expire_unsent(self, entry: Entry) -> int | None:
        """End what was not sent in time; when the next one runs out, in milliseconds, or None."""
        for row in UNSENT_EXPIRED.all(entry.tx, now=entry.now):
            entry.apart(f"spawn {row.id}", partial(self.expire, entry, row))
        return NEXT_UNSENT_TO_EXPIRE.one(entry.tx, now=entry.now)

    def expire(self, entry: Entry, row: SpawnRow) -> None:
        """End what was never sent before its time to live was over; leave what may have been taken."""
        if self._take_back(entry, row, State.EXPIRED, "it was not sent before its time to live was over"):
            return
        self._without_word(entry, row)

    def _without_word(self, entry: Entry, row: SpawnRow) -> None:
        where = self._members.name(row.target)
        reason = f"no word since {rfc3339(row.since)}; its time to live is over, but {where} may have taken it"
        if row.reason != reason:
            spawns.explain(entry.tx, row.id, reason)

    def withdraw(self, entry: Entry, spawn: str, by: str) -> SpawnRow | None:
        """End a spawn that was never sent, its envelopes taken out of the outbox; None where it may have been sent."""
        row = spawns.require(entry.tx, spawn)
        if row.state is State.QUEUED and self._take_back(entry, row, State.CANCELLED, f"dropped by {by}, never sent"):
            return spawns.require(entry.tx, spawn)
        return None

    def refused_by_peer(self, entry: Entry, spawn: str, error: RelayError, never_taken: bool) -> None:
        """The target answered the request with a NACK.

        Args:
            entry: the transaction that ends the request's envelope.
            spawn: which.
            error: what the NACK says.
            never_taken: whether it is certain that the target did not take it before. One that came too late may have
                been taken when it came first, its receipt lost and its row there forgotten: that is not ended.
        """
        if error.code is Code.EXPIRED and not never_taken:
            row = spawns.require(entry.tx, spawn)
            if row.state is State.QUEUED and row.first_word is None:
                self._without_word(entry, row)
            return
        state = State.EXPIRED if error.code is Code.EXPIRED else State.REJECTED
        if spawns.end_untaken(entry.tx, spawn, state, error.message, entry.now, error.to_json()):
            row = spawns.require(entry.tx, spawn)
            data = {"spawn": spawn, "state": str(state), "reason": error.message, "broker": row.target}
            entry.event("spawn.state", data)
            self.tell_dependents(entry, row)

    def tell_dependents(self, entry: Entry, row: SpawnRow) -> None:
        """A spawn ended that its target never had: what comes after it there has to be told."""
        for spawn, _ in queueing.DEPENDENTS.all(entry.tx, predecessor=row.id, target=row.target, limit=NO_LIMIT):
            self._say_gone(entry, spawns.require(entry.tx, spawn), row)

    def tell_what_ended(self, entry: Entry, row: SpawnRow, after: tuple[After, ...]) -> None:
        """Tell a spawn's target which of its predecessors have ended: it may never have had them, or have tidied up.

        Args:
            entry: the transaction.
            row: the spawn at its origin.
            after: what it comes after.
        """
        for each in after:
            before = BY_ID.one(entry.tx, id=each.spawn)
            if before is not None and before.state in TERMINAL:
                self._say_gone(entry, row, before)

    def _say_gone(self, entry: Entry, dependent: SpawnRow, before: SpawnRow) -> None:
        body = {"spawn": dependent.id, "verb": "gone", "after": before.id}
        body |= {} if before.at is None else {"ended": str(before.state)}
        operation = f"gone/{dependent.id}/{before.id}/{entry.now}"  # what is asked for again is told again
        entry.post(Letter(dependent.target, Kind.STEER, body, operation, LONGEST_TTL, dependent.id))


def _none(ref: str) -> Misuse:
    return Misuse(f"there is no spawn {ref[:80]!r}", code=Code.UNKNOWN_SPAWN, hint="relay ps --all")



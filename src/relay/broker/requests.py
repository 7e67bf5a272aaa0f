"""What this broker asks for: spawns and stops, here or elsewhere, each durable before it is answered."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from relay.broker.members import Members
from relay.broker.outbox import Outbox
from relay.broker.words import rfc3339
from relay.core import ids
from relay.core.errors import Code, Misuse, RelayError
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.spawning import MAX_ARGV, MAX_TASK, MODES, SpawnRequest, first_bad_field
from relay.core.states import TERMINAL, State
from relay.spawn.supervisor import Supervisor
from relay.store import operations, outbox, spawns
from relay.store.journal import Entry, Journal, Letter
from relay.store.spawn_rows import BY_ID, BY_NAME, BY_PREFIX, FOR_OTHERS, SpawnRow

DEFAULT_TTL_S, MAX_TTL_S = 7 * 86_400, 30 * 86_400
MIN_PREFIX = 4


@dataclass(frozen=True, slots=True)
class Order:
    """A checked request of a client.

    Attributes:
        operation: the client's; the same one acts once.
        request: what is to run.
        target: where.
    """

    operation: str
    request: SpawnRequest
    target: BrokerId


_WORDS = {
    "name": "a name has 1 to 64 of a-z, 0-9, '.', '_' and '-', and starts with a letter or digit",
    "agent": "an agent's name looks like a spawn's",
    "task": f"a task is text of at most {MAX_TASK // 1024} KiB, without NUL",
    "argv": f"it has at most {MAX_ARGV} words, without NUL",
    "cwd": "a directory is a path without NUL, or `new`",
    "mode": f"a mode is one of {', '.join(MODES)}",
    "model": "a model is a short text",
    "timeout_s": "a timeout is more than 0 and at most 30 days, in seconds",
    "labels": "labels are at most 32 short texts by name",
    "requested_by": "it is a short text",
    "broker": "a broker is named by a text: its name, or the beginning of its id",
}


def _text(body: dict[str, Any], key: str, default: str = "") -> str:
    value = body.get(key)
    if value is not None and not isinstance(value, str):
        raise _bad(key)
    return default if value is None else value


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _bad(key: str) -> Misuse:
    what = {"task": Code.BAD_TASK, "argv": Code.BAD_TASK, "name": Code.BAD_NAME, "agent": Code.BAD_NAME}
    return Misuse(
        f"the {key.replace('_s', '')} cannot be used",
        code=what.get(key, Code.USAGE),
        why=_WORDS.get(key, "it has another form"),
        hint="relay spawn --help",
    )


def check_operation(body: dict[str, Any]) -> str:
    """The operation id of a POST.

    Raises:
        Misuse: it has none, or an ill-formed one.
    """
    operation = body.get("operation")
    if not ids.is_operation(operation):
        raise Misuse(
            "the request has no operation id" if operation is None else "that cannot be an operation id",
            why="each POST carries one, so that a retry acts once: 1 to 128 letters, digits and . _ : / + = -",
            hint="choose another --idempotency-key, or none",
        )
    return str(operation)


def read_order(body: dict[str, Any], members: Members, now: int) -> Order:
    """The order in a client's JSON.

    Args:
        body: of `POST /api/v1/spawns`.
        members: to find the broker.
        now: milliseconds since 1970.

    Raises:
        Misuse: a field is missing or wrong; the sentence names it.
    """
    operation = check_operation(body)
    # None is this machine; anything else that is no text must not become this machine by accident
    target = members.resolve(None if body.get("broker") is None else _text(body, "broker"))
    request = _request(body, target == members.own, now)
    content = request.to_content()
    bad = "task" if not _encodable(request.task) else first_bad_field(content)
    if bad is not None:
        raise _bad(bad)
    return Order(operation, request, target)


def _request(body: dict[str, Any], local: bool, now: int) -> SpawnRequest:
    spawn = ids.spawn_id(os.urandom(ids.SPAWN_ID_BYTES))
    argv = body.get("argv") or []
    if not isinstance(argv, list) or not all(isinstance(word, str) and _encodable(word) for word in argv):
        raise _bad("argv")
    return SpawnRequest(
        id=spawn,
        name=_name(body, spawn),
        agent=_text(body, "agent"),
        task=_text(body, "task") or " ".join(argv),
        created=now,
        expires=now + _ttl(body),
        argv=tuple(argv),
        cwd=body.get("cwd") or (body.get("caller_cwd") if local else None),
        mode=_text(body, "mode", "edit"),
        model=body.get("model"),
        timeout_s=body.get("timeout_s"),
        labels=body.get("labels") or {},
        requested_by=_text(body, "requested_by")[:128],
    )


def _name(body: dict[str, Any], spawn: str) -> str:
    name = _text(body, "name")
    return f"{_text(body, 'agent') or 'spawn'}-{spawn[:5]}"[:64] if name in ("", "-") else name


def _ttl(body: dict[str, Any]) -> int:
    ttl = body.get("ttl_s") or DEFAULT_TTL_S
    if not isinstance(ttl, (int, float)) or not 0 < ttl <= MAX_TTL_S:
        raise Misuse("the ttl cannot be used", code=Code.BAD_DURATION, why="it is more than 0 and at most 30 days")
    return int(ttl * 1000)


class Requests:
    """Takes orders of this machine's clients.

    Args:
        members: names.
        journal: where they become durable.
        supervisor: for what runs here.
        outbox: for what may be taken back.
    """

    def __init__(self, members: Members, journal: Journal, supervisor: Supervisor, outbox: Outbox) -> None:
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

    async def spawn(self, order: Order) -> SpawnRow:
        """Accept an order; when this returns it is on disk.

        Raises:
            Misuse: its name is in use, or its operation id was used for something else.
            LocalFault: the store or the outbox is full.
        """
        return await self._journal.commit(lambda entry: self._accept(entry, order))

    def _accept(self, entry: Entry, order: Order) -> SpawnRow:
        known = operations.ANSWER.one(entry.tx, op=order.operation)
        if known is not None:
            return self._known(entry, order, known)
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
        operations.remember(entry.tx, order.operation, entry.now, {"spawn": row.id})
        return self._supervisor.admit(entry, row) if local else self._send(entry, order, row)

    def _known(self, entry: Entry, order: Order, known: Any) -> SpawnRow:
        row = BY_ID.one(entry.tx, id=str(known.get("spawn", "")) if isinstance(known, dict) else "")
        if row is None or row.agent != order.request.agent or row.task != order.request.task:
            raise Misuse(
                "this operation id was used for something else",
                code=Code.CONFLICT,
                why="an idempotency key names one request for ever",
                hint="choose another --idempotency-key",
            )
        return row

    def _send(self, entry: Entry, order: Order, row: SpawnRow) -> SpawnRow:
        ttl = order.request.expires - order.request.created
        letter = Letter(order.target, Kind.SPAWN, order.request.to_content(), order.operation, ttl, row.id)
        if not entry.post(letter):
            raise Misuse("that broker is no member any more", code=Code.UNKNOWN_BROKER, hint="relay brokers")
        entry.event("spawn.state", {"spawn": row.id, "state": "queued", "reason": "", "broker": row.target})
        return row

    async def find(self, ref: str) -> SpawnRow:
        """The spawn a person means: an id's beginning, a name, or name@broker.

        Raises:
            Misuse: `unknown_spawn`, or `ambiguous` with the candidates.
        """
        name, at, broker = ref.partition("@")
        target = self._members.resolve(broker) if at else None
        found = await self._journal.store.all(BY_NAME, name=name, target=target)
        if not found and not at and len(ref) >= MIN_PREFIX and ref.isalnum():
            found = await self._journal.store.all(BY_PREFIX, prefix=ref.lower())
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
        """
        row = await self.find(ref)
        return await self._journal.commit(lambda entry: self._stop(entry, row.id, operation, by))

    def _stop(self, entry: Entry, spawn: str, operation: str, by: str) -> SpawnRow:
        row = spawns.require(entry.tx, spawn)
        if row.state in TERMINAL:
            return row
        if row.target == self._members.own:
            return self._supervisor.stop(entry, row, by)
        if row.state is State.QUEUED and self._take_back(entry, row, State.CANCELLED, f"stopped by {by}, never sent"):
            return spawns.require(entry.tx, spawn)
        if spawns.request_stop(entry.tx, spawn, entry.now):
            entry.post(Letter(row.target, Kind.STOP, {"spawn": spawn}, operation, row.expires - row.created, spawn))
        return spawns.require(entry.tx, spawn)

    def _take_back(self, entry: Entry, row: SpawnRow, state: State, reason: str) -> bool:
        lines = outbox.BY_SPAWN.all(entry.tx, spawn=row.id)
        if row.first_word is not None or not lines or not self._outbox.withdraw(entry, lines):
            return False
        spawns.end_untaken(entry.tx, row.id, state, reason, entry.now)
        entry.event("spawn.state", {"spawn": row.id, "state": str(state), "reason": reason, "broker": row.target})
        return True

    async def end_what_is_not_granted(self, may_spawn: Callable[[BrokerId], bool]) -> None:
        """Stop what runs or waits here for brokers that have no grant to spawn any more."""

        def decide(entry: Entry) -> None:
            for row in FOR_OTHERS.all(entry.tx, own=self._members.own):
                if not may_spawn(row.origin):
                    self._supervisor.stop(entry, row, "its grant being revoked")

        await self._journal.commit(decide)

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


def _none(ref: str) -> Misuse:
    return Misuse(f"there is no spawn {ref[:80]!r}", code=Code.UNKNOWN_SPAWN, hint="relay ps --all")



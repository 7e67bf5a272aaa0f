"""Pause, resume, edit and retry, wherever a spawn is: done here in one transaction, or asked of its target durably.

    client ─ here ──────────────────────────► marks
    client ─ origin ─ steer ► target: grant? ► marks ─ steered ► origin: the copy follows, the client hears of it
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from relay.broker.auditor import Auditor, Decision, refusal
from relay.broker.gate import Gate
from relay.broker.inbox import Act, Opened
from relay.broker.members import Members
from relay.broker.orders import Order
from relay.broker.requests import Requests
from relay.core import ids
from relay.core.errors import Code, Misuse, PeerFault, Refused, RelayError
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.spawning import request_from_content
from relay.core.states import TERMINAL
from relay.spawn.marks import Marks, apply_change, has_started, not_ended
from relay.spawn.requests import request_of
from relay.spawn.waiting_room import WaitingRoom
from relay.store import operations, queueing, spawns, steers
from relay.store.journal import Entry, Journal, Letter
from relay.store.spawn_rows import BY_ID, SpawnRow
from relay.store.steers import Early, Steer

VERBS = frozenset({"pause", "resume", "edit", "retry"})
QUEUE_VERBS = frozenset({"pause_queue", "resume_queue"})
GONE = "gone"  # a predecessor ended at its origin and never will come
STEER_TTL = 30 * 86_400_000
ANSWER_WITHIN_S = 5.0
DONE, ASKED = "done", "asked"
_OF_MISUSE = frozenset(
    {Code.USAGE, Code.ALREADY_STARTED, Code.NOT_ENDED, Code.NAME_IN_USE, Code.BAD_AFTER, Code.UNKNOWN_SPAWN}
)


@dataclass(frozen=True, slots=True)
class Steered:
    """What became of a request.

    Attributes:
        state: `done`, or `asked` while the target has not answered.
        row: the spawn as it stands; None for a queue.
        target: whose queue or spawn it is.
    """

    state: str
    row: SpawnRow | None
    target: BrokerId


class Steering:
    """Carries out what clients and other brokers want of spawns.

    Args:
        members: names.
        journal: where it becomes durable.
        requests: finds spawns, and asks anew for what never was taken.
        is_in_reach: whether a broker can be reached now, so that its answer is worth waiting for.
        marks: acts on spawns of this machine.
        room: the queue of this machine.
        gate: what others may do.
        auditor: the audit log.
    """

    def __init__(
        self,
        members: Members,
        journal: Journal,
        requests: Requests,
        is_in_reach: Callable[[BrokerId], bool],
        marks: Marks,
        room: WaitingRoom,
        gate: Gate,
        auditor: Auditor,
    ) -> None:
        self._members = members
        self._journal = journal
        self._requests = requests
        self._is_in_reach = is_in_reach
        self._marks = marks
        self._room = room
        self._gate = gate
        self._auditor = auditor
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}

    @property
    def acts(self) -> dict[Kind, Act]:
        """What other brokers ask and answer, by kind."""
        return {Kind.STEER: self._steer, Kind.STEERED: self._steered}

    # for clients

    async def spawn(self, ref: str, verb: str, content: dict[str, Any], operation: str, by: str) -> Steered:
        """Do something with a spawn, here or at its target.

        Args:
            ref: which.
            verb: one of `VERBS`.
            content: what it takes besides.
            operation: the client's.
            by: who asks.

        Raises:
            Misuse, Refused: it cannot be done.
        """
        row = await self._requests.find(ref)
        if row.target == self._members.own:
            row = await self._journal.commit(lambda entry: self._here(entry, row.id, verb, content, operation, by))
            return Steered(DONE, row, row.target)
        if verb == "retry" and row.state in TERMINAL and row.at is None:
            return await self._anew(row, operation)
        return await self._there(row.target, row, verb, content, operation, by)

    def _here(
        self, entry: Entry, spawn: str, verb: str, content: dict[str, Any], operation: str, by: str
    ) -> SpawnRow:
        if operations.ANSWER.one(entry.tx, op=operation) is None:
            row = self._marks.apply(entry, spawns.require(entry.tx, spawn), verb, content, by)
            operations.remember(entry.tx, operation, entry.now, {"spawn": spawn})
            entry.event("spawn.steered", {"spawn": spawn, "verb": verb, "by": by})
            self._room.look_through(entry)
            return row
        return spawns.require(entry.tx, spawn)

    async def _anew(self, row: SpawnRow, operation: str) -> Steered:
        """Ask once more for what its target never took; it has no record of it there."""
        spawn = ids.spawn_id(ids.digest_of(operation.encode()))
        now = self._journal.clock()
        content = request_of(row).to_content() | {"spawn": spawn, "created": now}
        content["expires"] = now + row.expires - row.created
        again = await self._requests.spawn(Order(operation, request_from_content(content), row.target))
        return Steered(DONE, again, again.target)

    async def queue(self, broker: str | None, verb: str, operation: str, by: str) -> Steered:
        """Pause or resume the whole queue of a broker.

        Raises:
            Misuse, Refused: it cannot be done.
        """
        target = self._members.resolve(broker)
        if target != self._members.own:
            return await self._there(target, None, verb, {}, operation, by)
        await self._journal.commit(lambda entry: self._queue(entry, verb, by))
        return Steered(DONE, None, target)

    def _queue(self, entry: Entry, verb: str, by: str) -> None:
        if verb == "pause_queue":
            self._room.pause_queue(entry, by)
        else:
            self._room.resume_queue(entry)
        entry.event("queue.changed", {"paused": verb == "pause_queue", "by": by})

    # asking another broker

    async def _there(
        self, target: BrokerId, row: SpawnRow | None, verb: str, content: dict[str, Any], operation: str, by: str
    ) -> Steered:
        spawn = row.id if row else ""
        answer = self._answers.setdefault(operation, asyncio.get_running_loop().create_future())
        try:
            await self._journal.commit(lambda entry: self._ask(entry, target, spawn, verb, content, operation, by))
            known = await self._journal.store.one(steers.BY_OPERATION, operation=operation)
            if known is not None and known.error is None and self._is_in_reach(target):
                await asyncio.wait([answer], timeout=ANSWER_WITHIN_S)
                known = await self._journal.store.one(steers.BY_OPERATION, operation=operation)
        finally:
            self._answers.pop(operation, None)
        if known is not None and known.error:
            raise _from_json(known.error)
        state = ASKED if known is None or known.error is None else DONE
        return Steered(state, await self._journal.store.one(BY_ID, id=spawn) if spawn else None, target)

    def _ask(
        self,
        entry: Entry,
        target: BrokerId,
        spawn: str,
        verb: str,
        content: dict[str, Any],
        operation: str,
        by: str,
    ) -> None:
        if steers.BY_OPERATION.one(entry.tx, operation=operation) is not None:
            return
        if spawn:
            _check_here(spawns.require(entry.tx, spawn), verb)
        steers.ask(entry.tx, Steer(operation, spawn, verb, content, entry.now, None))
        if verb == "retry":
            spawns.clear_stop(entry.tx, spawn)
        body = content | {"spawn": spawn, "verb": verb, "by": by[:100]}
        if not entry.post(Letter(target, Kind.STEER, body, operation, STEER_TTL, spawn or None)):
            raise Misuse("that broker is no member any more", code=Code.UNKNOWN_BROKER, hint="relay brokers")

    # at the target

    def early(self, entry: Entry, row: SpawnRow) -> SpawnRow:
        """Do with a spawn that has just come what was asked before it came; the row as it is then."""
        for each in steers.take_early(entry.tx, row.origin, row.id):
            if row.state in TERMINAL:
                break
            self._answer(entry, row.origin, each.operation, each.content, row)
            row = spawns.require(entry.tx, row.id)
        return row

    def _steer(self, entry: Entry, each: Opened) -> None:
        content, origin = each.body.content, each.header.origin
        spawn, verb = content["spawn"], content["verb"]
        if verb in QUEUE_VERBS:
            self._answer(entry, origin, each.body.operation, content, None)
            return
        if not ids.is_spawn_id(spawn) or verb not in VERBS | {GONE}:
            raise PeerFault("a request was refused", why="it names no spawn, or asks for what is not known here")
        row = BY_ID.one(entry.tx, id=spawn)
        if row is None and verb != "retry":
            kept = steers.keep_early(entry.tx, origin, spawn, Early(each.body.operation, content), each.header.expires)
            if not kept:
                raise PeerFault("a request was refused", code=Code.RATE_LIMITED, why="too many wait for their spawns")
            return
        self._answer(entry, origin, each.body.operation, content, row)
        self._room.look_through(entry)

    def _answer(
        self, entry: Entry, origin: BrokerId, operation: str, content: dict[str, Any], row: SpawnRow | None
    ) -> None:
        verb, spawn = content["verb"], str(content["spawn"])
        error: RelayError | None = None
        try:
            with entry.undone_on_error():
                self._do(entry, origin, verb, content, row)
        except RelayError as fault:
            error = fault
        if isinstance(error, Refused):
            self._auditor.write(entry, refusal(origin, "stop", error, f"{verb} {spawn}"))
        if verb != GONE:
            body = {"spawn": spawn, "operation": operation, "error": error.to_json() if error else None}
            entry.post(Letter(origin, Kind.STEERED, body, f"steered/{operation}", STEER_TTL, spawn or None))

    def _do(self, entry: Entry, origin: BrokerId, verb: str, content: dict[str, Any], row: SpawnRow | None) -> None:
        by = f"{str(content.get('by', ''))[:100] or 'somebody'} on {self._members.name(origin)}"
        if verb in QUEUE_VERBS:
            self._gate.require(origin, "stop", False, entry.now)
            self._auditor.write(entry, Decision(origin, "stop", detail=verb))
            self._queue(entry, verb, by)
            return
        if row is None:
            raise Misuse(
                "there is no such spawn there (any more)", code=Code.UNKNOWN_SPAWN, hint="relay spawn it anew"
            )
        self._require(entry, origin, verb, row)
        if verb == GONE:
            self._room.succession.never_came(entry, row.id, str(content.get("after")), row)
            return
        self._marks.apply(entry, row, verb, content, by)
        self._auditor.write(entry, Decision(origin, "stop", detail=f"{verb} {row.id} {row.name}"[:500]))

    def _require(self, entry: Entry, origin: BrokerId, verb: str, row: SpawnRow) -> None:
        own = row.origin == origin
        self._gate.require(origin, "stop", own, entry.now)
        if not own and verb not in ("pause", "resume"):
            raise Refused(
                f"only who asked for a spawn may {verb} it",
                code=Code.NO_VERB,
                why="it would run under the grant of another broker",
                hint=f"on {self._members.own_name}: relay {verb} {row.id}",
            )

    # at the origin

    def _steered(self, entry: Entry, each: Opened) -> None:
        content = each.body.content
        operation, error = content["operation"], content["error"]
        if not isinstance(operation, str) or not (error is None or _is_error(error)):
            raise PeerFault("an answer was refused", why="it has another form")
        known = steers.BY_OPERATION.one(entry.tx, operation=operation)
        row = None if known is None or not known.spawn else BY_ID.one(entry.tx, id=known.spawn)
        if known is None or (row is not None and row.target != each.header.origin):
            return
        if not steers.answer(entry.tx, operation, error):
            return
        if error is None and row is not None:
            _follow(entry, row, known, self._members.own_name)
        entry.event("spawn.steered", {"spawn": known.spawn, "verb": known.verb, "error": error})
        entry.then(lambda: self._heard(operation, error))

    def _heard(self, operation: str, error: dict[str, Any] | None) -> None:
        waiting = self._answers.get(operation)
        if waiting is not None and not waiting.done():
            waiting.set_result(error or {})


def _check_here(row: SpawnRow, verb: str) -> None:
    """What this broker knows well enough to refuse by itself."""
    if verb == "retry" and row.state not in TERMINAL:
        raise not_ended(row)
    if verb != "retry" and row.state in TERMINAL:
        raise has_started(row, {"pause": "paused", "resume": "resumed"}.get(verb, "edited"))


def _follow(entry: Entry, row: SpawnRow, steer: Steer, own: str) -> None:
    """Bring the copy to what the target did; its word on the state comes by itself."""
    if steer.verb == "edit":
        apply_change(entry, row, steer.content["change"])
    elif steer.verb == "pause":
        queueing.pause(entry.tx, row.id, entry.now, f"{steer.content.get('by', 'somebody')} on {own}")
    else:
        queueing.resume(entry.tx, row.id)


def _is_error(value: object) -> bool:
    texts = ("code", "message", "why", "hint")
    return isinstance(value, dict) and all(isinstance(value.get(key, ""), str) for key in texts)


def _from_json(error: dict[str, Any]) -> RelayError:
    code = str(error.get("code"))
    known = Code(code) if code in Code._value2member_map_ else Code.CONFLICT
    kind = Misuse if known in _OF_MISUSE else Refused
    message, why, hint = (str(error.get(key, ""))[:500] for key in ("message", "why", "hint"))
    return kind(message, code=known, why=why, hint=hint)

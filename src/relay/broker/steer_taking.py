"""What others want of spawns, schedules and the queue of this machine: judged, done, answered in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from relay.broker.auditor import Auditor, Decision, refusal
from relay.broker.gate import Gate
from relay.broker.inbox import Act, Opened
from relay.broker.members import Members
from relay.broker.scheduling import Scheduling
from relay.broker.steer_following import in_its_order
from relay.core import ids
from relay.core.errors import Code, Misuse, PeerFault, Refused, RelayError
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.spawning import is_json
from relay.core.states import TERMINAL, State
from relay.core.steering import order_of
from relay.spawn.marks import Marks
from relay.spawn.queue import paused_queue
from relay.spawn.waiting_room import WaitingRoom
from relay.store import questions, schedules, spawns, steers
from relay.store.journal import Entry, Letter
from relay.store.spawn_rows import BY_ID, SpawnRow
from relay.store.steers import Early

Admit = Callable[[Entry, SpawnRow], SpawnRow]
VERBS = frozenset({"pause", "resume", "edit", "retry", "continue", "take"})
AFTER_ITS_END = frozenset({"retry", "continue", "take"})
QUEUE_VERBS = frozenset({"pause_queue", "resume_queue"})
STOP = "stop"  # by who did not ask for it, so that it hears whether it may
UNSCHEDULE = "unschedule"
GONE = "gone"  # a predecessor has ended: where it is not, it never will come
STEER_TTL = 30 * 86_400_000


def rest_or_go_on(entry: Entry, room: WaitingRoom, verb: str, by: str) -> None:
    """Pause or resume a whole queue; nothing is done or told where it stands so already.

    Args:
        entry: the transaction.
        room: whose queue.
        verb: one of `QUEUE_VERBS`.
        by: who asks.
    """
    if (verb == "pause_queue") == (paused_queue(entry.tx) is not None):
        return
    if verb == "pause_queue":
        room.pause_queue(entry, by)
    else:
        room.resume_queue(entry)
    entry.event("queue.changed", {"paused": verb == "pause_queue", "by": by})


class SteerTaking:
    """Acts on what other brokers ask.

    Args:
        members: names.
        marks: acts on spawns of this machine.
        room: the queue of this machine.
        gate: what others may do.
        auditor: the audit log.
        scheduling: what runs again and again.
        stop: ends a spawn of this machine, given who wants it, for the words.
    """

    def __init__(
        self,
        members: Members,
        marks: Marks,
        room: WaitingRoom,
        gate: Gate,
        auditor: Auditor,
        scheduling: Scheduling,
        stop: Callable[[Entry, SpawnRow, str], SpawnRow],
    ) -> None:
        self._stop = stop
        self._members = members
        self._marks = marks
        self._room = room
        self._gate = gate
        self._auditor = auditor
        self._scheduling = scheduling

    @property
    def acts(self) -> dict[Kind, Act]:
        """By kind."""
        return {Kind.STEER: self._steer, Kind.SCHEDULE: self._schedule}

    def early(self, entry: Entry, row: SpawnRow, admit: Admit) -> None:
        """Admit a spawn that has just come, as what was asked before it came has made it."""
        waiting = steers.take_early(entry.tx, row.origin, row.id)
        gone = [each for each in waiting if each.content["verb"] == GONE]
        row = self._told_early(entry, row, [each for each in waiting if each not in gone])
        if row.state not in TERMINAL:
            # what it comes after is known once it is admitted: only then can it be told that this will not come
            self._told_early(entry, admit(entry, row), gone)

    def _told_early(self, entry: Entry, row: SpawnRow, asked: list[Early]) -> SpawnRow:
        for each in asked:
            if row.state in TERMINAL:
                break
            self._answer(entry, row.origin, each.operation, each.content, row)
            row = spawns.require(entry.tx, row.id)
        return row

    def _steer(self, entry: Entry, each: Opened) -> None:
        content, origin = each.body.content, each.header.origin
        spawn, verb = content["spawn"], content["verb"]
        if type(verb) is not str or not is_json(content):
            raise PeerFault("a request was refused", why="it has another form")
        if verb in QUEUE_VERBS or (verb == UNSCHEDULE and ids.is_spawn_id(spawn)):
            self._answer(entry, origin, each.body.operation, content, None)
            return
        if not ids.is_spawn_id(spawn) or verb not in VERBS | {GONE, STOP}:
            raise PeerFault("a request was refused", why="it names no spawn, or asks for what is not known here")
        row = BY_ID.one(entry.tx, id=spawn)
        if row is None and verb not in AFTER_ITS_END | {STOP}:
            self._keep(entry, origin, spawn, each)
            return
        self._answer(entry, origin, each.body.operation, content, row)
        self._room.look_through(entry)

    def _keep(self, entry: Entry, origin: BrokerId, spawn: str, each: Opened) -> None:
        """Keep it until its spawn comes; of who may ask for nothing here, none will."""
        self._gate.require(origin, "stop", True, entry.now)
        early = Early(each.body.operation, each.body.content)
        if not steers.keep_early(entry.tx, origin, spawn, early, each.header.expires):
            raise PeerFault("a request was refused", code=Code.RATE_LIMITED, why="too many wait for their spawns")

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
            if row is not None:
                self._marks.tell(entry, row.id)  # before the answer, so that this finds the copy as it is
            order = order_of(content)
            # said again: by this its origin knows that another one would have been heeded
            self._post_answer(entry, origin, operation, spawn, error, {} if order is None else {"order": order})

    def _post_answer(
        self,
        entry: Entry,
        origin: BrokerId,
        operation: str,
        spawn: str,
        error: RelayError | None,
        facts: dict[str, Any],
    ) -> None:
        error = None if error is None else self._gate.told(origin, error, entry.now)
        body = facts | {"spawn": spawn, "operation": operation, "error": error.to_json() if error else None}
        entry.post(Letter(origin, Kind.STEERED, body, f"steered/{operation}", STEER_TTL, spawn or None))

    def _schedule(self, entry: Entry, each: Opened) -> None:
        error, schedule = self._scheduling.asked(entry, each), str(each.body.content["schedule"])
        facts = {"next": schedules.NEXT_OF.one(entry.tx, id=schedule)}
        self._post_answer(entry, each.header.origin, each.body.operation, schedule, error, facts)

    def _do(self, entry: Entry, origin: BrokerId, verb: str, content: dict[str, Any], row: SpawnRow | None) -> None:
        by = f"{str(content.get('by', ''))[:100] or 'somebody'} on {self._members.name(origin)}"
        if verb in QUEUE_VERBS:
            self._gate.require(origin, "stop", False, entry.now)
            if in_its_order(entry, origin, verb, content) is None:
                return
            self._auditor.write(entry, Decision(origin, "stop", detail=verb))
            rest_or_go_on(entry, self._room, verb, by)
            return
        if verb == UNSCHEDULE:
            self._gate.require(origin, "stop", True, entry.now)
            self._scheduling.remove(entry, origin, str(content["spawn"]))
            return
        if row is None or row.target != self._members.own:
            raise Misuse(
                "there is no such spawn there (any more)", code=Code.UNKNOWN_SPAWN, hint="relay spawn it anew"
            )
        self._require(entry, origin, verb, row)
        if verb == "take":
            self._gate.require(origin, "attach", True, entry.now)
            self._gate.require_typing(origin, row.agent)
        if verb == GONE:
            ended = content.get("ended")
            how = State(ended) if isinstance(ended, str) and ended in TERMINAL else None
            self._room.succession.never_comes(entry, row.id, str(content.get("after")), how)
            return
        if verb == STOP:
            self._stop(entry, row, by)
        else:
            left = in_its_order(entry, origin, verb, content)
            if verb in AFTER_ITS_END and row.state in TERMINAL:
                questions.spend(entry.tx, row.id)  # who may not start it without a yes needs another to start it again
            if left is not None:
                self._marks.apply(entry, row, verb, left, by)
        self._auditor.write(entry, Decision(origin, "stop", detail=f"{verb} {row.id} {row.name}"[:500]))

    def _require(self, entry: Entry, origin: BrokerId, verb: str, row: SpawnRow) -> None:
        own = row.origin == origin
        self._gate.require(origin, "stop", own, entry.now)
        if not own and verb not in ("pause", "resume", STOP):
            raise Refused(
                f"only who asked for a spawn may {verb} it",
                code=Code.NO_VERB,
                why="it would run under the grant of another broker",
                hint=f"on {self._members.own_name}: relay {verb} {row.id}",
            )

"""Pause, resume, edit, retry, continue, wherever a spawn is: done here in one transaction, or asked of its target.

    client ─ here ──────────────────────────► marks
    client ─ origin ─ steer ► target: grant? ► marks ─ steered ► origin: the copy follows, the client hears of it
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from relay.broker.asked_before import is_asked_again
from relay.broker.inbox import Act, Opened, Pointless
from relay.broker.members import Members, no_member
from relay.broker.orders import Order
from relay.broker.requests import Requests
from relay.broker.scheduling import Scheduling
from relay.broker.steer_following import CHANGING, as_heeded, change_of, changed_there, follow
from relay.broker.steer_taking import AFTER_ITS_END, STEER_TTL, UNSCHEDULE, VERBS, rest_or_go_on
from relay.core import errors, ids
from relay.core.errors import PeerFault, RelayError, Unreachable
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.spawning import request_from_content
from relay.core.states import TERMINAL
from relay.core.steering import things_set
from relay.core.values import frozen
from relay.spawn.marks import Marks, changed, has_started, not_ended, session_of
from relay.spawn.requests import request_of
from relay.spawn.succession import require_no_cycle
from relay.spawn.waiting_room import WaitingRoom
from relay.store import operations, peers, schedules, spawns, steers
from relay.store.journal import Entry, Journal, Letter
from relay.store.schedules import Schedule
from relay.store.spawn_rows import BY_ID, SpawnRow
from relay.store.steers import Steer

ANSWER_WITHIN_S = 5.0
TAKE_WITHIN_S = 15.0  # and not a moment later: an interface that opens has to have somebody before it
DONE, ASKED = "done", "asked"


@frozen
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
        requests: asks anew for what never was taken.
        find: the spawn a person means, also one that only its target knows.
        is_in_reach: whether a broker can be reached now, so that its answer is worth waiting for.
        marks: acts on spawns of this machine.
        room: the queue of this machine.
        scheduling: what runs again and again.
    """

    def __init__(
        self,
        members: Members,
        journal: Journal,
        requests: Requests,
        find: Callable[[str], Awaitable[SpawnRow]],
        is_in_reach: Callable[[BrokerId], bool],
        marks: Marks,
        room: WaitingRoom,
        scheduling: Scheduling,
    ) -> None:
        self._members = members
        self._journal = journal
        self._requests = requests
        self._find = find
        self._is_in_reach = is_in_reach
        self._marks = marks
        self._room = room
        self._scheduling = scheduling
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}

    @property
    def acts(self) -> dict[Kind, Act]:
        """What other brokers answer, by kind."""
        return {Kind.STEERED: self._steered}

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
            Unreachable: of `take`, which waits for nobody.
        """
        row = await self._find(ref)
        if row.target == self._members.own:
            row = await self._journal.commit(lambda entry: self._here(entry, row.id, verb, content, operation, by))
            return Steered(DONE, row, row.target)
        if verb == "take" and not self._is_in_reach(row.target):
            raise self._away(row.target, "cannot be reached now", "nothing was asked of it, and its turn goes on")
        if verb == "retry" and row.state in TERMINAL and row.at is None:
            return await self._anew(row, operation)
        if await self._journal.store.one(BY_ID, id=row.id) is None:
            return await self._seen(await self.elsewhere(row, verb, content, operation, by))
        asking = self._asking(row.target, row.id, verb, content, operation, by)
        return await self._there(row.target, row.id, operation, asking, verb)

    async def elsewhere(
        self, row: SpawnRow, verb: str, content: dict[str, Any], operation: str, by: str
    ) -> Steered:
        """Ask the target of a spawn that is not known here to do something with it.

        Raises:
            Misuse, Refused: that one will not.
        """

        def ask(entry: Entry) -> None:
            if not is_asked_again(entry.tx, operation, entry.now, row.id, verb):
                steer = Steer(operation, "", verb, {"by": by[:100], "target": row.target}, entry.now, None)
                self._post(entry, row.target, steer, content | {"spawn": row.id, "verb": verb, "by": by[:100]})

        done = await self._there(row.target, "", operation, ask, verb)
        return Steered(done.state, row, row.target)

    async def _seen(self, steered: Steered) -> Steered:
        """What was done with a spawn that is not known here, and the spawn as its target tells it after that."""
        if (row := steered.row) is not None and steered.state == DONE:
            with contextlib.suppress(RelayError):  # it does not tell: as it was before
                return dataclasses.replace(steered, row=await self._find(f"{row.id}@{row.target}"))
        return steered

    def _here(
        self, entry: Entry, spawn: str, verb: str, content: dict[str, Any], operation: str, by: str
    ) -> SpawnRow:
        if not is_asked_again(entry.tx, operation, entry.now, spawn, verb):
            before = spawns.require(entry.tx, spawn)
            row = self._marks.apply(entry, before, verb, content, by)
            entry.event("spawn.steered", {"spawn": spawn, "verb": verb, "by": by, "error": None})
            change = change_of(content) if verb in CHANGING else {}
            if verb in AFTER_ITS_END and before.wishes.not_before is not None:
                change["wishes"] = {"not_before": None}  # another attempt by hand waits for no moment
            if change and row.origin != self._members.own:
                self._tell_of_change(entry, row, change, operation)
            self._room.look_through(entry)
            return row
        return spawns.require(entry.tx, spawn)

    def _tell_of_change(self, entry: Entry, row: SpawnRow, change: dict[str, Any], operation: str) -> None:
        """A person here has changed what somebody else asked for: that one is told what runs."""
        order = steers.next_order(entry.tx, self._members.own, row.id, entry.now)
        steers.note_order(entry.tx, row.id, self._members.own, things_set("edit", {"change": change}), order)
        body = {"spawn": row.id, "operation": operation, "error": None, "change": change, "order": order}
        entry.post(Letter(row.origin, Kind.STEERED, body, f"changed/{operation}", STEER_TTL, row.id))

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
            return await self._there(target, "", operation, self._asking(target, "", verb, {}, operation, by))
        await self._journal.commit(lambda entry: rest_or_go_on(entry, self._room, verb, by))
        return Steered(DONE, None, target)

    async def schedule(self, order: Order, every: str) -> Schedule:
        """Have an order run again and again.

        Raises:
            Misuse, Refused: it cannot be.
        """

        def make(entry: Entry) -> None:
            self._scheduling.make(entry, order, every)

        await self._there(order.target, "", order.operation, make)
        known: dict[str, Any] | None = await self._journal.store.one(operations.ANSWER, op=order.operation)
        return await self._scheduling.known(str((known or {}).get("schedule")))

    async def unschedule(self, ref: str, operation: str, by: str) -> Schedule:
        """Have a schedule run no more, wherever it is.

        Raises:
            Misuse, Refused: there is none, or it may not be.
        """
        found = await self._scheduling.find(ref)
        if found.target == self._members.own:
            await self._journal.commit(lambda entry: self._scheduling.remove(entry, self._members.own, found.id, by))
        else:
            asking = self._asking(found.target, found.id, UNSCHEDULE, {}, operation, by)
            await self._there(found.target, "", operation, asking)
        return await self._journal.store.one(schedules.BY_ID, id=found.id) or found

    # asking another broker

    async def _there(
        self, target: BrokerId, spawn: str, operation: str, ask: Callable[[Entry], None], verb: str = ""
    ) -> Steered:
        answer = self._answers.setdefault(operation, asyncio.get_running_loop().create_future())
        try:
            await self._journal.commit(ask)
            known = await self._journal.store.one(steers.BY_OPERATION, operation=operation)
            if known is not None and known.error is None and self._is_in_reach(target):
                await asyncio.wait([answer], timeout=TAKE_WITHIN_S if verb == "take" else ANSWER_WITHIN_S)
                known = await self._journal.store.one(steers.BY_OPERATION, operation=operation)
        finally:
            self._answers.pop(operation, None)
        if known is not None and known.error:
            raise errors.from_json(known.error)
        state = ASKED if known is None or known.error is None else DONE
        if verb == "take" and state == ASKED:
            raise self._away(target, "has not answered", "it was asked to open it for 15 s, and does not do so later")
        return Steered(state, await self._journal.store.one(BY_ID, id=spawn) if spawn else None, target)

    def _away(self, target: BrokerId, what: str, then: str) -> Unreachable:
        name = self._members.name(target)
        why = f"an agent is taken over only while both machines are awake; {then}"
        return Unreachable(f"{name} {what}", why=why, hint=f"relay broker show {name}")

    def _asking(
        self, target: BrokerId, spawn: str, verb: str, content: dict[str, Any], operation: str, by: str
    ) -> Callable[[Entry], None]:
        def ask(entry: Entry) -> None:
            if is_asked_again(entry.tx, operation, entry.now, spawn, verb):
                return
            if verb in VERBS:
                row = spawns.require(entry.tx, spawn)
                _check_here(row, verb, self._members.own)
                steer = Steer(operation, spawn, verb, content | {"by": by[:100]}, entry.now, None)
                done = partial(_change, entry, row, steer, self._members.own_name)
                if self._requests.change_unsent(entry, row, done):
                    steers.ask(entry.tx, steer)
                    steers.answer(entry.tx, operation, None)
                    return
            asked = content | {"by": by[:100], "target": target}
            if verb in AFTER_ITS_END:
                spawns.clear_stop(entry.tx, spawn)
            body = content | {"spawn": spawn, "verb": verb, "by": by[:100]}
            self._post(entry, target, Steer(operation, spawn, verb, asked, entry.now, None), body)
            if verb in AFTER_ITS_END | {"edit"}:
                row = spawns.require(entry.tx, spawn)
                after = changed(row, content["change"]).wishes.after if verb == "edit" else row.wishes.after
                self._requests.tell_what_ended(entry, row, after)

        return ask

    def _post(self, entry: Entry, target: BrokerId, steer: Steer, body: dict[str, Any]) -> None:
        row = BY_ID.one(entry.tx, id=steer.spawn)
        # a pause that went in front of its spawn has the moment of its mark for its order
        since = max(entry.now, 1 + (row.paused or 0 if row is not None else 0))
        order = {"order": steers.next_order(entry.tx, self._members.own, steer.spawn, since)}
        steer, body = dataclasses.replace(steer, content=steer.content | order), body | order
        steers.ask(entry.tx, steer)
        ttl = STEER_TTL
        if steer.verb == "take":
            # it expires by the clock of the target, which may be ahead of this one
            ttl = int(TAKE_WITHIN_S * 1000) + max(0, peers.SKEW.one(entry.tx, id=target) or 0)
        if not entry.post(Letter(target, Kind.STEER, body, steer.operation, ttl, steer.spawn or None)):
            raise no_member(self._members.name(target))

    # at the origin

    def _steered(self, entry: Entry, each: Opened) -> None:
        content = each.body.content
        operation, error = content["operation"], content["error"]
        if not isinstance(operation, str) or not (error is None or _is_error(error)):
            raise PeerFault("an answer was refused", why="it has another form")
        known = steers.BY_OPERATION.one(entry.tx, operation=operation)
        if known is None and "change" in content:
            changed_there(entry, each)
            return
        row = None if known is None or not known.spawn else BY_ID.one(entry.tx, id=known.spawn)
        asked_of = row.target if row is not None else known.content.get("target") if known is not None else None
        if known is None or asked_of not in (None, each.header.origin):
            raise Pointless
        if known.verb in ("schedule", UNSCHEDULE):
            self._scheduling.answered(entry, known, error, each.header.origin, content.get("next"))
        if not steers.answer(entry.tx, operation, error):
            return
        if error is None and row is not None:
            follow(entry, row, as_heeded(known, content), self._members.own_name)
            if "after" in known.content.get("change", {}).get("wishes", {}):
                # what has ended since it was asked was not known to have anything behind it
                self._requests.tell_what_ended(entry, row, spawns.require(entry.tx, row.id).wishes.after)
        entry.event("spawn.steered", {"spawn": known.spawn, "verb": known.verb, "error": error})
        entry.then(lambda: self._heard(operation, error))

    def _heard(self, operation: str, error: dict[str, Any] | None) -> None:
        if (waiting := self._answers.get(operation)) is not None and not waiting.done():
            waiting.set_result(error or {})


def _change(entry: Entry, row: SpawnRow, steer: Steer, own: str) -> None:
    """Change what its target has not heard of: nobody but this broker can look whether the chain would close."""
    if steer.verb == "edit":
        change = change_of(steer.content)
        asked = changed(row, change)  # before its parts are looked at: they may have another form
        if "after" in change.get("wishes", {}):
            require_no_cycle(entry.tx, row.id, asked.wishes.after)
    follow(entry, row, steer, own)


def _check_here(row: SpawnRow, verb: str, own: BrokerId) -> None:
    """What this broker knows well enough to refuse by itself."""
    if verb == "take":
        return  # whether its agent can be taken over comes first, and its target knows
    if verb in AFTER_ITS_END and row.state not in TERMINAL:
        raise not_ended(row, own)
    if verb == "continue":
        session_of(row)
    if verb not in AFTER_ITS_END and row.state in TERMINAL:
        raise has_started(row, {"pause": "paused", "resume": "resumed"}.get(verb, "edited"))


def _is_error(value: object) -> bool:
    texts = ("code", "message", "why", "hint")
    return isinstance(value, dict) and all(isinstance(value.get(key, ""), str) for key in texts)

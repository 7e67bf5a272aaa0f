"""Schedules as clients and other brokers ask for them: kept by their target, known to their origin too."""

from __future__ import annotations

from typing import Any

from relay.broker.asked_before import earlier_schedule, remember
from relay.broker.auditor import Auditor, refusal
from relay.broker.inbox import Opened
from relay.broker.members import Members, no_member
from relay.broker.orders import Order
from relay.core.errors import Code, Misuse, PeerFault, Refused, RelayError
from relay.core.field_checks import is_count, is_moment
from relay.core.ids import BrokerId, is_spawn_id
from relay.core.kinds import Kind
from relay.core.spawning import Snapshot, SpawnRequest, request_from_content
from relay.core.states import State
from relay.core.wire import pack
from relay.spawn.schedules import MOST_BODY, Schedules, run_content
from relay.spawn.timetable import next_after
from relay.store import schedules, spawns, steers
from relay.store.engine import Store
from relay.store.journal import Entry, Letter
from relay.store.schedules import Schedule
from relay.store.spawn_rows import SpawnRow
from relay.store.steers import Steer

REFUSED_SHOWN_MS = 7 * 86_400_000
TTL = 30 * 86_400_000


class Scheduling:
    """Makes, ends and lists schedules.

    Args:
        members: names.
        store: where they are looked up.
        here: those of this machine.
        auditor: the audit log.
    """

    def __init__(self, members: Members, store: Store, here: Schedules, auditor: Auditor) -> None:
        self._members = members
        self._store = store
        self._here = here
        self._auditor = auditor

    # at the origin

    def make(self, entry: Entry, order: Order, every: str) -> Schedule:
        """Make a schedule of a client's order, here or durably asked of its target.

        Raises:
            Misuse: it cannot be repeated by that, or is too long.
        """
        earlier = earlier_schedule(entry.tx, order, every)
        if earlier is not None:
            return earlier
        made = self._made(entry, order, every)
        remember(entry.tx, order, entry.now, {"schedule": made.id}, every)
        if made.target == self._members.own:
            return self._here.accept(entry, made)
        next_after(every, made.created, entry.now)  # a person is told of a slip at once
        schedules.add(entry.tx, made)
        steers.ask(entry.tx, Steer(order.operation, made.id, "schedule", {"target": made.target}, entry.now, None))
        body = {"schedule": made.id, "every": every, "request": made.request}
        if not entry.post(Letter(made.target, Kind.SCHEDULE, body, order.operation, TTL, made.id)):
            raise no_member(self._members.name(made.target))
        return made

    def _made(self, entry: Entry, order: Order, every: str) -> Schedule:
        request = order.request
        if request.wishes.after:
            why = "each run of a schedule comes at its own time"
            raise Misuse("a schedule comes after nothing", code=Code.BAD_AFTER, why=why, hint="--every without --after")
        if request.wishes.place is not None and request.wishes.place.tree is not None:
            why = "--here sends the tree as it is now, and each run of a schedule would find that one"
            hint = "--every with --repo URL[@REF], which is fetched for each run"
            raise Misuse("a schedule sends no tree along", code=Code.BAD_TREE, why=why, hint=hint)
        content = request.to_content()
        if len(pack(content)) > MOST_BODY:
            why = f"it may have {MOST_BODY // 1024} KiB with its labels"
            hint = "put it in a file there"
            raise Misuse("the task is too long for a schedule", code=Code.BAD_TASK, why=why, hint=hint)
        return asked_for(request, self._members.own, order.target, order.operation, every, entry.now)

    def answered(
        self, entry: Entry, steer: Steer, error: dict[str, Any] | None, sender: BrokerId, following: Any
    ) -> None:
        """Its target has answered, or has ended it since.

        Args:
            entry: the transaction.
            steer: what was asked.
            error: why it was not done, or None.
            sender: who answers.
            following: when it runs next, by the target's word.
        """
        schedule = schedules.BY_ID.one(entry.tx, id=steer.spawn)
        if schedule is None or schedule.target != sender or schedule.state == "removed":
            return
        if error is not None:
            schedules.stand(entry.tx, schedule.id, "refused", entry.now, error)
        else:
            schedules.stand(entry.tx, schedule.id, "active" if steer.verb == "schedule" else "removed", entry.now)
        if is_moment(following) and schedule.next is None:
            schedules.due_next(entry.tx, schedule.id, following)
        entry.event("schedule.changed", {"schedule": schedule.id, "verb": steer.verb, "error": error})

    def told(self, entry: Entry, snapshot: Snapshot, run: object, row: SpawnRow | None) -> SpawnRow | None:
        """A word on a run has come; its row, made where it is news; None where it is not ours.

        Args:
            entry: the transaction.
            snapshot: the target's word on it, verified.
            run: what came with it.
            row: as it was known.
        """
        if not isinstance(run, dict) or not all(type(run.get(key)) is int for key in ("created", "expires")):
            return row
        schedule = schedules.BY_ID.one(entry.tx, id=str(run.get("schedule")))
        if schedule is None or schedule.target != snapshot.target or schedule.origin != self._members.own:
            return row
        following = run["next"] if is_moment(run.get("next")) else None
        if row is None:
            row = _took_place(entry, schedule, snapshot, run["created"])
            is_news = (schedule.last or 0) <= row.created
        else:  # words on one run may overtake each other
            is_news = following is not None and following > (schedule.next or 0)
        if following is not None and is_news:
            schedules.due_next(entry.tx, schedule.id, following)
        if is_count(run.get("skipped")) and run["skipped"] > schedule.skipped:
            schedules.has_skipped(entry.tx, schedule.id, run["skipped"])
        return row

    # at the target

    def asked(self, entry: Entry, each: Opened) -> RelayError | None:
        """Take on what another broker asks for; why not, or None.

        Raises:
            PeerFault: the request has another form.
        """
        content, origin = each.body.content, each.header.origin
        schedule, every = content["schedule"], content["every"]
        if not is_spawn_id(schedule) or not isinstance(every, str) or not isinstance(content["request"], dict):
            raise PeerFault("a schedule was refused", why="it has another form")
        if len(pack(content)) > 2 * MOST_BODY:
            raise PeerFault("a schedule was refused", why="it is too long")
        request = request_from_content(content["request"] | {"spawn": schedule})
        made = asked_for(request, origin, self._members.own, each.body.operation, every, entry.now)
        try:
            with entry.undone_on_error():
                self._here.accept(entry, made)
        except RelayError as error:
            self._auditor.write(entry, refusal(origin, "spawn", error, f"schedule {schedule} {request.name}"))
            return error
        return None

    def remove(self, entry: Entry, origin: BrokerId, schedule: str, by: str = "") -> None:
        """End a schedule of this machine for who asked for it, or for a person here: then who asked for it is told.

        Args:
            entry: the transaction.
            origin: which broker wants it so.
            schedule: its id.
            by: the person.

        Raises:
            Misuse: there is none.
            Refused: it is somebody else's.
        """
        found = schedules.BY_ID.one(entry.tx, id=schedule)
        if found is None or found.target != self._members.own:
            raise unknown(schedule)
        if origin not in (found.origin, self._members.own):
            why, hint = "only who made it may", f"on {self._members.own_name}: relay schedule remove {schedule}"
            raise Refused("that schedule may not be removed", code=Code.NO_VERB, why=why, hint=hint)
        if origin == found.origin:
            self._here.remove(entry, schedule)
        elif found.state == "active":
            self._end(entry, found, _removed(f"{by or 'somebody'} on {self._members.own_name}"))
        entry.event("schedule.changed", {"schedule": schedule, "verb": "unschedule", "error": None})

    def revoked(self, entry: Entry, schedule: Schedule) -> None:
        """The grant that it ran under is gone: it ends, and its origin is told."""
        hint = "relay trust allow BROKER, there, and schedule it anew"
        self._end(entry, schedule, Refused("its grant was revoked", code=Code.NO_GRANT, hint=hint))

    def _end(self, entry: Entry, schedule: Schedule, error: RelayError) -> None:
        self._here.remove(entry, schedule.id, error)
        body = {"spawn": schedule.id, "operation": schedule.operation, "error": error.to_json()}
        entry.post(Letter(schedule.origin, Kind.STEERED, body, f"ended/{schedule.id}", TTL, schedule.id))

    # looking

    async def find(self, ref: str) -> Schedule:
        """The schedule a person means, by name, name@broker or the beginning of its id.

        Raises:
            Misuse: `unknown_schedule` or `ambiguous`.
        """
        name, at, broker = ref.partition("@")
        meant = {"ref": name, "target": self._members.resolve(broker) if at else None}
        found = await self._store.all(schedules.BY_PREFIX, **meant)
        if len(found) == 1:
            return found[0]
        if not found:
            over = await self._store.one(schedules.OVER, **meant)
            raise unknown(ref) if over is None else has_ended(over)
        listed = ", ".join(f"{each.name}@{self._members.name(each.target)} {each.id}" for each in found)
        raise Misuse(
            f"{ref!r} may be several schedules", code=Code.AMBIGUOUS, why=listed, hint="name one by its id"
        )

    async def known(self, schedule: str) -> Schedule:
        """The schedule of that id, whether it still runs or not.

        Raises:
            Misuse: `unknown_schedule`.
        """
        found = await self._store.one(schedules.BY_ID, id=schedule)
        if found is None:
            raise unknown(schedule)
        return found

    async def listing(self, everything: bool, now: int) -> list[Schedule]:
        """All that run, and those that were refused of late; or everything that is kept."""
        return await self._store.all(schedules.LISTING, everything=everything, recently=now - REFUSED_SHOWN_MS)


def asked_for(
    request: SpawnRequest, origin: BrokerId, target: BrokerId, operation: str, every: str, now: int
) -> Schedule:
    """A schedule that was just asked for, as its row begins on either side.

    Args:
        request: what each run does; its id is the schedule's.
        origin, target: who asks, who runs it.
        operation: what it is deduped by.
        every: when it runs.
        now: milliseconds since 1970.
    """
    return Schedule(
        id=request.id,
        name=request.name,
        origin=origin,
        target=target,
        operation=operation,
        every=every,
        state="asked",
        created=now,
        since=now,
        next=None,
        last=None,
        last_spawn=None,
        runs=0,
        skipped=0,
        ttl=max(1, request.expires - max(request.created, request.wishes.not_before or 0)),
        error=None,
        request=request.to_content(),
    )


def _took_place(entry: Entry, schedule: Schedule, snapshot: Snapshot, created: int) -> SpawnRow:
    content = run_content(schedule, snapshot.spawn, max(0, created))
    row = spawns.insert(
        entry.tx,
        request_from_content(content),
        origin=schedule.origin,
        target=schedule.target,
        operation=f"run/{snapshot.spawn}",
        state=State.QUEUED,
        since=entry.now,
        may_share_name=True,
        schedule=schedule.id,
    )
    schedules.ran(entry.tx, schedule.id, row.created, row.id)
    return row


def has_ended(schedule: Schedule) -> Misuse:
    """The error for a schedule that runs no more already."""
    why = (schedule.error or {}).get("message") or "it was removed"
    hint = "relay schedule list --all"
    return Misuse(f"{schedule.name} runs no more already", code=Code.UNKNOWN_SCHEDULE, why=why, hint=hint)


def unknown(ref: str) -> Misuse:
    """The error for a schedule that there is not."""
    return Misuse(f"there is no schedule {ref[:80]!r}", code=Code.UNKNOWN_SCHEDULE, hint="relay schedule list")


def _removed(by: str) -> Refused:
    return Refused(f"removed by {by}", code=Code.DENIED, hint="ask that person, then schedule it anew")

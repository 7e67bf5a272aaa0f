"""Schedules of this machine: each run is a spawn of its own, made in the transaction that marks its due time.

What came due while the machine slept or the broker was down runs once. A run that would come while the one before
still lives is skipped.
"""

from __future__ import annotations

import dataclasses
import os
from functools import partial
from typing import Any

from relay.core import ids
from relay.core.errors import Code, Misuse, Refused, RelayError
from relay.core.ids import BrokerId
from relay.core.spawning import request_from_content
from relay.core.states import State
from relay.spawn.admission import Judge
from relay.spawn.timetable import first_from, next_after
from relay.spawn.waiting_room import WaitingRoom
from relay.store import schedules, spawns
from relay.store.journal import Entry
from relay.store.schedules import Schedule
from relay.store.spawn_rows import LIVE_NAMED

MOST_SCHEDULES = 200  # of one origin
MOST_ACTED_ON = 1_000  # due times that a clock which was ahead had come upon already
AGAIN_MS = 60_000  # one that could not be run is tried again
MOST_BODY = 100 * 1024  # a run's word carries none of it, but its row does, again and again


class Schedules:
    """Keeps what runs again and again here.

    Args:
        own: this broker's id.
        room: takes each run in.
        judge: asked once when a schedule comes, and for each run again.
    """

    def __init__(self, own: BrokerId, room: WaitingRoom, judge: Judge) -> None:
        self._own = own
        self._room = room
        self._judge = judge
        room.due_runs, room.runs_anew = self.due, self.set_back

    def accept(self, entry: Entry, schedule: Schedule) -> Schedule:
        """Take a schedule of this machine on; as it stands then.

        Raises:
            Misuse: it cannot be.
            Refused: its origin may not run this here.
        """
        self._check(entry, schedule)
        request = request_from_content(schedule.request)
        draft = spawns.drafted(
            request,
            state=State.DELIVERED,
            origin=schedule.origin,
            target=self._own,
            operation=schedule.operation,
            since=entry.now,
            reason="",
        )
        refusal = self._judge(entry, draft).refusal
        if refusal is not None:
            raise refusal
        self._check_name(entry, schedule)
        # a clock that is ahead at its origin puts nothing off
        anchor = request.wishes.not_before or min(schedule.created, entry.now)
        first = first_from(schedule.every, anchor, request.wishes.not_before, entry.now)
        active = dataclasses.replace(schedule, state="active", next=first, created=anchor, since=entry.now)
        schedules.add(entry.tx, active)
        self._room.wake_at(entry, first)
        return active

    def _check(self, entry: Entry, schedule: Schedule) -> None:
        next_after(schedule.every, schedule.created, entry.now)
        if (schedules.LIVE_FROM.one(entry.tx, target=self._own, origin=schedule.origin) or 0) >= MOST_SCHEDULES:
            why = f"one broker may have {MOST_SCHEDULES} here"
            raise Refused("too many schedules", code=Code.TOO_MANY, why=why, hint="relay schedule list")

    def _check_name(self, entry: Entry, schedule: Schedule) -> None:
        other = schedules.NAMED.one(entry.tx, name=schedule.name, target=self._own)
        if other is not None:
            why, hint = f"schedule {other.id} has it", f"choose another name, or: relay schedule remove {other.id}"
            raise Misuse(f"the name {schedule.name!r} is in use", code=Code.NAME_IN_USE, why=why, hint=hint)

    def remove(self, entry: Entry, schedule: str, error: RelayError | None = None) -> None:
        """Run a schedule no more; what it began goes on."""
        schedules.stand(entry.tx, schedule, "removed", entry.now, error.to_json() if error else None)

    def due(self, entry: Entry) -> int | None:
        """Make the runs whose time has come; when the next one is (milliseconds), or None."""
        for schedule in schedules.DUE.all(entry.tx, target=self._own, now=entry.now):
            run = partial(self._run, entry, schedule)
            if not entry.apart(f"schedule {schedule.id}", run):
                schedules.due_next(entry.tx, schedule.id, entry.now + AGAIN_MS)
        return schedules.NEXT.one(entry.tx, target=self._own)

    def set_back(self, entry: Entry) -> None:
        """Find out anew when each runs next: what was found by a clock that was ahead may be hours away."""
        for schedule in schedules.LIVE_HERE.all(entry.tx, target=self._own):
            if schedule.state == "active" and schedule.next is not None:
                anew = partial(self._find_anew, entry, schedule, schedule.next)
                entry.apart(f"schedule {schedule.id}", anew)

    def _find_anew(self, entry: Entry, schedule: Schedule, known: int) -> None:
        anchor, not_before = schedule.created, schedule.request.get("wishes", {}).get("not_before")
        if anchor > entry.now and not_before is None:
            anchor = entry.now
            schedules.count_from(entry.tx, schedule.id, anchor)
        moment = self._first_free(entry, schedule, anchor, max(entry.now, (not_before or 0) - 1))
        if moment < known:
            schedules.due_next(entry.tx, schedule.id, moment)

    def _first_free(self, entry: Entry, schedule: Schedule, anchor: int, after: int) -> int:
        """Its first moment after one that was not acted on already, as by a clock that was ahead.

        Where very many were, it is one of these; `_run` passes it over.
        """
        moment = next_after(schedule.every, anchor, after)
        for _ in range(MOST_ACTED_ON):
            if not self._was_acted_on(entry, schedule, moment):
                break
            moment = next_after(schedule.every, anchor, moment)
        return moment

    def _was_acted_on(self, entry: Entry, schedule: Schedule, moment: int) -> bool:
        return schedules.ACTED_ON.one(entry.tx, id=schedule.id, due=moment) is not None

    def _run(self, entry: Entry, schedule: Schedule) -> None:
        assert schedule.next is not None
        following = self._first_free(entry, schedule, schedule.created, entry.now)
        schedules.due_next(entry.tx, schedule.id, following)
        if self._was_acted_on(entry, schedule, schedule.next):
            return
        if LIVE_NAMED.one(entry.tx, name=schedule.name, target=self._own) is not None:
            schedules.act_on(entry.tx, schedule.id, schedule.next, None)
            return
        spawn = ids.spawn_id(os.urandom(ids.SPAWN_ID_BYTES))
        schedules.act_on(entry.tx, schedule.id, schedule.next, spawn)
        schedules.ran(entry.tx, schedule.id, entry.now, spawn)
        row = spawns.insert(
            entry.tx,
            request_from_content(run_content(schedule, spawn, entry.now)),
            origin=schedule.origin,
            target=self._own,
            operation=f"run/{schedule.id}/{schedule.next}",
            state=State.DELIVERED,
            since=entry.now,
            schedule=schedule.id,
        )
        self._room.admit(entry, row)


def run_content(schedule: Schedule, spawn: str, created: int) -> dict[str, Any]:
    """The body of one run's request.

    Args:
        schedule: whose.
        spawn: the run's id.
        created: when it came due, milliseconds.
    """
    content = schedule.request | {"spawn": spawn, "name": schedule.name, "created": created}
    wishes = {key: value for key, value in content.get("wishes", {}).items() if key not in ("not_before", "after")}
    return content | {"expires": created + schedule.ttl, "wishes": wishes}

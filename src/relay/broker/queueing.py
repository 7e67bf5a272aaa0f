"""The rooms around the queue, put together over one broker: steering it, from here and elsewhere, and schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.broker.inbox import Act
from relay.broker.scheduling import Scheduling
from relay.broker.steer_taking import SteerTaking
from relay.broker.steering import Steering
from relay.core.kinds import Kind
from relay.spawn.marks import Marks
from relay.spawn.schedules import Schedules

if TYPE_CHECKING:
    from relay.broker.rooms import Rooms


class Queueing:
    """What acts on spawns that have not started, and what starts them again and again.

    Args:
        rooms: of the broker; those that run spawns and take requests are made already.
    """

    def __init__(self, rooms: Rooms) -> None:
        members, room = rooms.members, rooms.supervisor.room
        marks = Marks(members.own, rooms.ledger, room, rooms.gate.judge, rooms.asking)
        schedules = Schedules(members.own, room, rooms.gate.judge)
        self.scheduling = Scheduling(members, rooms.store, schedules, rooms.auditor)
        self.steering = Steering(
            members, rooms.journal, rooms.requests, rooms.views.is_in_reach, marks, room, self.scheduling
        )
        self.taking = SteerTaking(members, marks, room, rooms.gate, rooms.auditor, self.scheduling)

    @property
    def acts(self) -> dict[Kind, Act]:
        """Durable kinds."""
        return self.steering.acts | self.taking.acts

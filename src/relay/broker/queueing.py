"""The rooms around the queue, put together over one broker: steering it, from here and elsewhere, and schedules."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from relay.broker.elsewhere import Elsewhere
from relay.broker.inbox import Act, Hear
from relay.broker.offered import AgentsServer, Offered
from relay.broker.predecessors import Predecessors
from relay.broker.reasons import Reasons
from relay.broker.scheduling import Scheduling
from relay.broker.steer_taking import SteerTaking
from relay.broker.steering import Steering
from relay.broker.telling_spawns import SpawnsServer
from relay.broker.trial_serving import TrialServer
from relay.broker.trials import Trials
from relay.core.errors import PeerFault
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.spawn.agents.probing import sight
from relay.spawn.logins import Logins
from relay.spawn.marks import Marks
from relay.spawn.means import Means
from relay.spawn.rehearsal import Rehearsal
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
        is_gone = rooms.supervisor.remains.workshop.is_gone
        marks = Marks(rooms.ledger, room, rooms.gate.judge, rooms.asking, rooms.agents, is_gone)
        schedules = Schedules(members.own, room, rooms.gate.judge)
        self.scheduling = Scheduling(members, rooms.store, schedules, rooms.auditor)
        self.elsewhere = _elsewhere(rooms)
        self.steering = Steering(
            members,
            rooms.journal,
            rooms.requests,
            self.elsewhere.find,
            rooms.views.is_in_reach,
            marks,
            room,
            self.scheduling,
        )
        self.predecessors = Predecessors(members, self.elsewhere.find_at)
        self.reasons = Reasons(members.own, rooms.store, rooms.limits(), room.queue, rooms.journal.clock)
        self._spawns = SpawnsServer(
            members, rooms.store, rooms.gate, self.reasons, rooms.mesh, rooms.journal.clock
        )
        means = _means(rooms)
        self._logins, self._known_agents = Logins(means, room), rooms.agents
        self._logins.take_part(rooms.ledger)
        self.trials = _trials(rooms, means, self._logins, self.elsewhere)
        self._agents = AgentsServer(members.own, rooms.store, rooms.gate, means, rooms.mesh, rooms.journal.clock)
        self.offered = Offered(
            members, rooms.mesh, self._agents, rooms.views.known_of, self.elsewhere.is_there, rooms.journal.clock
        )
        self.taking = SteerTaking(
            members, marks, room, rooms.gate, rooms.auditor, self.scheduling, rooms.supervisor.stop
        )

    def open(self) -> None:
        """Look at the agents that are installed here, before anybody asks for one."""
        self._logins.open(self._known_agents.installed())

    @property
    def acts(self) -> dict[Kind, Act]:
        """Durable kinds."""
        return self.steering.acts | self.taking.acts

    @property
    def hears(self) -> dict[Kind, Hear]:
        """Other kinds."""
        looks = self._spawns.hears | self.elsewhere.hears
        return self.trials.hears | self._agents.hears | self.offered.hears | looks

    def refused(self, peer: BrokerId, envelope: bytes, error: PeerFault) -> None:
        """That broker will not have what was asked of it live; nothing where that was no question of these rooms."""
        self.trials.refused(peer, envelope, error)
        self.offered.refused(peer, envelope, error)
        self.elsewhere.refused(peer, envelope, error)

    def close(self) -> None:
        """Stop answering others."""
        self.trials.close()
        self._agents.close()
        self._spawns.close()
        self._logins.close()


def _elsewhere(rooms: Rooms) -> Elsewhere:
    attendance, members = rooms.letters.attendance, rooms.members

    def absence(broker: BrokerId) -> str:
        return attendance.absence(broker, members.name(broker))

    clock = rooms.journal.clock
    return Elsewhere(members, rooms.store, rooms.requests, rooms.mesh, rooms.letters.waiting, absence, clock)


def _means(rooms: Rooms) -> Means:
    config, home = rooms.config, rooms.home
    return Means(rooms.agents, rooms.limits(), lambda: sight(home, os.environ, config.env, is_broker=True))


def _trials(rooms: Rooms, means: Means, logins: Logins, elsewhere: Elsewhere) -> Trials:
    """What would become of a request, here and elsewhere."""
    rehearsal = Rehearsal(rooms.members.own, rooms.supervisor, rooms.gate.judge, rooms.gate.told)
    identity, ration = rooms.keys.identity, rooms.rationing.may_be_written
    server = TrialServer(identity, rooms.journal, rehearsal, means, logins, rooms.auditor, rooms.mesh, ration)
    return Trials(rooms.members, rooms.journal, rooms.mesh, server, rooms.views.known_of, elsewhere.is_there)

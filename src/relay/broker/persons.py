"""The rooms around what a person is asked and answers, put together over one broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.broker.answering import Answering
from relay.broker.answers import Answers
from relay.broker.failures import Failures
from relay.broker.inbox import Act, Hear
from relay.broker.reviewing import Review, ReviewServer
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.spawn import door
from relay.spawn.feeding import Feeding
from relay.spawn.settling import Settling

if TYPE_CHECKING:
    from relay.broker.rooms import Rooms


class Persons:
    """What persons are asked, answer, and say of an end.

    Args:
        rooms: of the broker; those that run spawns and carry envelopes are made already.
    """

    def __init__(self, rooms: Rooms) -> None:
        members, supervisor, journal = rooms.members, rooms.supervisor, rooms.journal
        self.feeding = Feeding(journal, lambda spawn, n: supervisor.log_of(spawn, n).parent, door.feed)
        settling = Settling(supervisor, rooms.asking, rooms.ledger, rooms.agents, self.feeding, members.name)
        self._answering = Answering(members, rooms.gate, rooms.auditor, settling, rooms.clocks.may_expire)
        self._server = ReviewServer(members.own, rooms.store, rooms.gate, rooms.mesh, journal.clock)

        def absence(broker: BrokerId) -> str:
            return rooms.letters.attendance.absence(broker, members.name(broker))

        self.review = Review(members, rooms.store, rooms.mesh, self._server, absence)
        self.answers = Answers(
            members, journal, rooms.requests, rooms.queueing.elsewhere.find, self.review, self._answering
        )
        self.failures = Failures(members, journal, rooms.queueing.elsewhere.find, rooms.views)

    @property
    def acts(self) -> dict[Kind, Act]:
        """Durable kinds."""
        return self._answering.acts | self.answers.acts

    @property
    def hears(self) -> dict[Kind, Hear]:
        """Other kinds."""
        return self._server.hears | self.review.hears

    async def open(self) -> None:
        """Go on with what an earlier run of this broker accepted."""
        await self.feeding.recover()

    def close(self) -> None:
        """Stop typing and answering; what was accepted is kept."""
        self.feeding.close()
        self._server.close()

"""What is known of the peers' ends of the way: who is there, whose intake is stopped, what is sealed again for whom."""

from __future__ import annotations

from collections.abc import Callable

from relay.broker.allowed import Grants
from relay.broker.answers import Answers
from relay.broker.blobs.offers import Offers
from relay.broker.dialler import Dialler
from relay.broker.envelopes import Envelopes
from relay.broker.inbox import Hear
from relay.broker.link import Link
from relay.broker.members import Members
from relay.broker.mesh import Mesh
from relay.broker.notices import Notices
from relay.broker.postbox import SealingPostbox
from relay.broker.presence import Attendance
from relay.broker.receipts import Receipts, RefusedCall, RefusedLive
from relay.broker.reissue import Reissue
from relay.broker.requests import Requests
from relay.broker.tools.asking import CallAsking
from relay.broker.waiting import Waiting
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.store.journal import Journal


class Correspondence:
    """The rooms around the outbox that word it and look after it.

    Args:
        members: names.
        journal: where decisions are committed.
        mesh: the links.
        dialler: when a broker is dialled next.
        postbox: seals.
        grants: who may do what here, which each is told of itself.
        spoke: when a peer last said something of itself, milliseconds on its own clock; None for never.
    """

    def __init__(
        self,
        members: Members,
        journal: Journal,
        mesh: Mesh,
        dialler: Dialler,
        postbox: SealingPostbox,
        grants: Grants,
        spoke: Callable[[BrokerId], int | None],
    ) -> None:
        self._members = members
        self._journal = journal
        self._mesh = mesh
        self._dialler = dialler
        self.attendance = Attendance(journal.clock, mesh.is_linked, mesh.reached_by, spoke, self._turned_down)
        self.notices = Notices(members, journal)
        self.waiting = Waiting(journal.store, mesh, grants.verbs_of, journal.clock)
        self.reissue = Reissue(postbox, mesh.let_go)

    def hears(
        self, requests: Requests, offers: Offers, answers: Answers, live: RefusedLive, call: RefusedCall
    ) -> dict[Kind, Hear]:
        """What peers answer to envelopes, by kind."""
        receipts = Receipts(
            self._mesh, self._journal, requests, self.reissue, self.notices, offers, answers, live, call
        )
        return receipts.hears | self.notices.hears | self.waiting.hears

    def envelopes(self, requests: Requests, calls: CallAsking, answers: Answers) -> Envelopes:
        """`relay outbox`."""
        return Envelopes(
            self._members,
            self._journal,
            self._mesh,
            self._dialler,
            self.attendance,
            self.notices,
            requests,
            calls,
            answers,
            self.reissue,
        )

    def link_changed(self, link: Link, up: bool) -> None:
        """A link came up or ended."""
        self.waiting.link_changed(link.peer, up)
        if not up:
            self.notices.over(link.peer)

    def _turned_down(self, peer: BrokerId) -> str:
        return self._mesh.turned_down.get(peer, "")

    def trouble(self, peer: BrokerId) -> str:
        """What stands between this broker and a peer, in words; empty for nothing."""
        return self.notices.of(peer) or self._turned_down(peer)

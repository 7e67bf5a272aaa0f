"""The inbox of a broker, with what each kind of envelope does there: over the rooms that do it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.broker.dispatch import Dispatch
from relay.broker.inbox import Inbox, Opened
from relay.broker.log_serving import log_hears
from relay.core.kinds import Kind
from relay.store.journal import Entry

if TYPE_CHECKING:
    from relay.broker.rooms import Rooms


def inbox_of(rooms: Rooms) -> Inbox:
    """The inbox of these rooms, which are all made but for what needs it."""
    dispatch = Dispatch(
        rooms.members,
        rooms.gate,
        rooms.auditor,
        rooms.ledger,
        rooms.supervisor,
        rooms.clocks.may_expire,
        rooms.queueing.taking.early,
        rooms.queueing.scheduling.told,
        rooms.results.heard,
        rooms.notify.prove,
        rooms.requests.tell_dependents,
    )

    def has_taken(entry: Entry, each: Opened) -> bool | None:
        if each.kind is Kind.TOOL_CALL and rooms.tools.has_taken(entry, each):
            return True
        return dispatch.has_taken(entry, each)

    hears = rooms.letters.hears(
        rooms.requests,
        rooms.blobs.offers,
        rooms.persons.answers,
        rooms.queueing.refused,
        rooms.tools.asking.refused_by_peer,
    )
    hears |= rooms.membership.hears | log_hears(rooms.log_server, rooms.log_client) | rooms.tools.hears
    hears |= rooms.discovery.hears | rooms.blobs.hears | rooms.persons.hears | rooms.live.hears | rooms.queueing.hears
    hears |= rooms.results.tails.hears
    acts = dispatch.acts | rooms.belonging.rotation.acts | rooms.blobs.acts | rooms.persons.acts
    acts |= rooms.queueing.acts | rooms.notify.acts | rooms.tools.acts
    return Inbox(
        rooms.keys.identity,
        rooms.members,
        rooms.journal,
        rooms.mesh.say,
        acts,
        hears,
        rooms.clocks.may_expire,
        rooms.rationing.refusal,
        has_taken,
        rooms.clocks.ahead,
    )

"""What brokers tell each other of their tools: a numbered list to each that may call them, anew with each change.

Who may not is told nothing, and who might before an empty list. The list waits in the outbox like anything durable; a
newer one takes the place of an older that has not left.
"""

from __future__ import annotations

import hashlib

from relay.broker.inbox import Act, Opened, Pointless
from relay.broker.members import Members
from relay.broker.tools.rights import ToolRights, is_shared
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.offers import Catalogue, Offer, catalogue_from_content, fitting, packed_offers
from relay.store import offers, outbox
from relay.store.journal import Entry, Letter
from relay.store.offers import Told

CATALOGUE_TTL = 30 * 86_400_000
BEGIN = "catalogue/"


class Catalogues:
    """Tells and hears lists of tools.

    Args:
        members: whom to tell.
        rights: who may know.
    """

    def __init__(self, members: Members, rights: ToolRights) -> None:
        self._members = members
        self._rights = rights

    @property
    def acts(self) -> dict[Kind, Act]:
        """By kind."""
        return {Kind.TOOL_CATALOGUE: self._heard}

    # telling

    def tell(self, entry: Entry, only: BrokerId | None = None) -> None:
        """Offers, shares, grants or members changed: tell each that has not been told what holds now, or one of them.

        Where trust.toml cannot be read nobody is told anything: what is called is refused, and a broken file is mended.
        """
        if not self._rights.can_judge:
            return
        shared = self.shared(entry)
        digests = {each: _digest(each) for each in (shared, ())}
        for member in self._members.others:
            if only in (None, member.id):
                visible = shared if self._rights.may_see(member.id) else ()
                self._tell(entry, member.id, visible, digests[visible])

    def shared(self, entry: Entry) -> tuple[Offer, ...]:
        """What of this broker's runners others may know."""
        shares = offers.SHARES.all(entry.tx)
        return fitting(each.offer for each in offers.ALL.all(entry.tx) if is_shared(each, shares))

    def _tell(self, entry: Entry, broker: BrokerId, shared: tuple[Offer, ...], digest: bytes) -> None:
        told = offers.TOLD.one(entry.tx, broker=broker)
        if told is None and not shared:
            return
        if told is not None and told.digest == digest:
            return
        number = max(entry.now, told.number + 1 if told is not None else 0)
        for line in outbox.OF_OPERATIONS.all(entry.tx, recipient=broker, kind=Kind.TOOL_CATALOGUE, begin=BEGIN):
            outbox.drop(entry.tx, line.id)
        content = Catalogue(number, shared).to_content()
        if entry.post(Letter(broker, Kind.TOOL_CATALOGUE, content, f"{BEGIN}{number}", CATALOGUE_TTL)):
            offers.note_told(entry.tx, Told(broker, number, digest))

    def content(self, entry: Entry, broker: BrokerId, operation: str) -> dict[str, object] | None:
        """The body of a list that is sealed again; None where it is not the last one, or not true any more."""
        told = offers.TOLD.one(entry.tx, broker=broker)
        shared = self.shared(entry) if self._rights.may_see(broker) else ()
        if told is None or operation != f"{BEGIN}{told.number}" or told.digest != _digest(shared):
            return None
        return Catalogue(told.number, shared).to_content()

    # hearing

    def _heard(self, entry: Entry, each: Opened) -> None:
        catalogue, origin = catalogue_from_content(each.body.content), each.header.origin
        if not catalogue.offers and offers.HEARD_OF.one(entry.tx, broker=origin) is None:
            raise Pointless
        if offers.hear(entry.tx, origin, catalogue, entry.now):
            entry.event("tool.changed", {"broker": origin})


def _digest(shared: tuple[Offer, ...]) -> bytes:
    return hashlib.sha256(packed_offers(shared)).digest()

"""Custody: keeping envelopes for others until their recipients have them.

Only a member's own envelopes for another member are kept, verified first, within a quota for each origin. They are
handed to their recipient alone. A holder reads nothing: what it keeps is sealed. It refuses nothing for its time
either: what comes too late, or expires too late, only its recipient can say, so that its signed word ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from relay.broker.host import Load
from relay.broker.members import Members
from relay.core.delivery import MAX_QUEUED, MAX_QUEUED_BYTES, Outgoing, Window
from relay.core.envelope import MAX_LIFE_MS, Envelope, unpack_envelope
from relay.core.errors import PeerFault
from relay.core.ids import BrokerId
from relay.core.kinds import AHEAD, KINDS, Kind
from relay.core.values import frozen
from relay.store import held
from relay.store.engine import Store
from relay.store.held import Kept, Parcel, Quota
from relay.store.query import Tx
from relay.trust.sealing import verify

QUOTA = Quota(envelopes=10_000, bytes=64 << 20, total_bytes=512 << 20)
PAGE_ROWS = MAX_QUEUED // 2
PAGE_BYTES = MAX_QUEUED_BYTES // 2
NOT_WILLING = "it is not always on and has no link to that broker"
NO_MEMBER = "it knows no such member"
NOT_YOURS = "it is not your own envelope for somebody else"

Answer = tuple[bytes, str]


class Custody:
    """What this broker keeps for others.

    Args:
        store: where it is kept.
        members: whose envelopes are kept, and for whom.
        always_on: whether this broker keeps for who is not linked.
        is_linked: whether a link to a broker is up.
        wake: called when a recipient's link has something to send.
        clock: milliseconds since 1970.
        may_expire: whether this clock is believed.
    """

    def __init__(
        self,
        store: Store,
        members: Members,
        always_on: bool,
        is_linked: Callable[[BrokerId], bool],
        wake: Callable[[BrokerId], None],
        clock: Callable[[], int],
        may_expire: Callable[[], bool],
    ) -> None:
        self._store = store
        self._members = members
        self._always_on = always_on
        self._is_linked = is_linked
        self._wake = wake
        self._clock = clock
        self._may_expire = may_expire
        self._windows: dict[BrokerId, Window] = {}
        self._origins: set[BrokerId] = set()

    async def open(self) -> None:
        """Recall for whom something is kept."""
        for recipient in await self._store.all(held.RECIPIENTS):
            self.window(recipient)
        self._origins.update(await self._store.all(held.ORIGINS))

    def window(self, recipient: BrokerId) -> Window:
        """What is kept for that broker and on its way to it."""
        return self._windows.setdefault(recipient, Window())

    def loads(self, peer: BrokerId) -> list[Load]:
        """What goes over the link to that peer."""
        return [HeldLoad(self, peer)] if peer in self._windows else []

    async def keep(self, origin: BrokerId, raws: Sequence[bytes]) -> list[Answer]:
        """Keep a neighbour's envelopes for others; what became of each is durable when this returns.

        Raises:
            PeerFault: one of them is malformed or forged.
            LocalFault: the store could not commit; nothing is kept.
        """
        envelopes = [self.verified(origin, raw) for raw in raws]
        whys = {each.header.id: self._why_not(each) for each in envelopes}
        wanted = [each for each in envelopes if not whys[each.header.id]]
        if wanted:
            kept: list[tuple[Envelope, Kept, int]] = []
            # offered by the writer: whose link ends in this moment is not there to do it
            await self._store.submit(lambda tx: self._keep_all(tx, wanted, kept), lambda: self._offer(kept))
            whys |= {each.header.id: str(found) for each, found, _ in kept}
        return list(whys.items())

    def verified(self, origin: BrokerId, raw: bytes) -> Envelope:
        """A neighbour's own envelope for somebody else.

        Raises:
            PeerFault: it is malformed, forged, or somebody else's.
        """
        envelope = unpack_envelope(raw)
        keys = self._members.keys(origin)
        if keys is None or envelope.header.origin != origin:
            raise PeerFault("an envelope was not kept", why=NOT_YOURS)
        verify(envelope, keys.public)
        return envelope

    def _why_not(self, envelope: Envelope) -> str:
        header = envelope.header
        if header.recipient in (self._members.own, header.origin) or self._members.keys(header.recipient) is None:
            return NO_MEMBER
        if header.kind not in Kind._value2member_map_ or not KINDS[Kind(header.kind)].holdable:
            return NOT_YOURS
        return "" if self._always_on or self._is_linked(header.recipient) else NOT_WILLING

    def _keep_all(self, tx: Tx, envelopes: Iterable[Envelope], kept: list[tuple[Envelope, Kept, int]]) -> None:
        now = self._clock()
        kept[:] = [(each, *held.keep(tx, self._parcel(each, now), _quota(each))) for each in envelopes]

    def _parcel(self, envelope: Envelope, now: int) -> Parcel:
        header = envelope.header
        # it decides when this is forgotten: what has expired has its time here too, and nothing is kept for ever
        worth = max(header.expires, now)
        if self._may_expire():
            worth = min(worth, now + MAX_LIFE_MS)
        return Parcel(
            header.id, header.origin, header.recipient, header.kind, envelope.digest, envelope.raw, now, worth
        )

    def _offer(self, kept: Iterable[tuple[Envelope, Kept, int]]) -> None:
        for each, _, n in kept:
            if n:
                self._origins.add(each.header.origin)
                recipient = each.header.recipient
                self.window(recipient).offer(Outgoing(n, each.header.id, each.raw, True, each.header.kind in AHEAD))
                self._wake(recipient)

    async def refill(self, recipient: BrokerId) -> None:
        """Read the next rows for a recipient into its window."""
        window = self.window(recipient)
        missed, turn = window.missed, window.turn
        page = await self._store.all(
            held.PAGE, recipient=recipient, after=window.last, limit=PAGE_ROWS, max_bytes=PAGE_BYTES
        )
        rows = [Outgoing(row.n, row.id, row.envelope, True, row.kind in AHEAD) for row in page]
        if window.turn == turn and self.window(recipient) is window:
            window.refill(rows, end=not rows and window.missed == missed)

    def taken(self, peer: BrokerId, envelopes: Sequence[bytes]) -> None:
        """These need be kept no longer: their recipient has them, or their origin has sealed them anew.

        They are forgotten with the next commit. Of a recipient only what is in flight to it counts, of an origin only
        what this broker keeps for it.
        """
        done = self.window(peer).receipted(envelopes) if peer in self._windows else []
        gone = envelopes if peer in self._origins else done
        if gone:
            self._store.write_lazily(lambda tx: held.forget(tx, peer, gone))

    def link_lost(self, recipient: BrokerId) -> None:
        """Nothing in flight to that broker can be counted on; what is kept for it is read again when it is back."""
        if recipient in self._windows:
            self._windows[recipient].begin_anew()  # how often each was sent stays known

    def begin_anew(self) -> None:
        """Something is kept no longer: read again what is."""
        for window in self._windows.values():
            window.begin_anew()


def _quota(envelope: Envelope) -> Quota:
    # whoever has filled its quota can still receipt: or what is kept for it would be handed over again and again
    more = 1 if KINDS[Kind(envelope.header.kind)].durable else 2
    return Quota(QUOTA.envelopes * more, QUOTA.bytes * more, QUOTA.total_bytes)


@frozen
class HeldLoad:
    """What is kept for one recipient, on its way over the link to it."""

    _custody: Custody
    _recipient: BrokerId
    for_another: bool = False

    @property
    def window(self) -> Window:
        """What of it is in memory."""
        return self._custody.window(self._recipient)

    async def refill(self) -> None:
        """Read more of it into the window."""
        await self._custody.refill(self._recipient)

    async def mark_tried(self, rows: Sequence[Outgoing]) -> list[Outgoing]:
        """All of these: nobody takes back what is kept for another."""
        return list(rows)

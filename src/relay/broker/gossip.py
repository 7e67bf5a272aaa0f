"""Gossip of peer records between members: what is news is passed on, and books are compared now and then.

Only what a member signed about itself is kept, one record a member, so that no number of records makes this broker
grow. What one peer may send or ask for, and how often one member says something new, is bounded (`gossip_bounds.py`);
who passes on what is forged loses its link.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from relay.broker.gossip_bounds import Bounds
from relay.broker.inbox import Hear, Opened
from relay.core import ids, record_book
from relay.core.errors import Code, PeerFault
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.record_book import Book, Held
from relay.core.records import Record, Verdict, judge
from relay.core.values import frozen
from relay.trust.records import MAX_SIGNED

PAGE_RECORDS = 64
PAGE_BYTES = 128 * 1024
_IGNORED = frozenset({Code.NOT_A_MEMBER, Code.UNKNOWN_KEY})  # two rosters may differ for a moment
_log = logging.getLogger(__name__)

Read = Callable[[object], Record]


@frozen
class Surroundings:
    """What gossip needs of the broker around it.

    Attributes:
        own: this broker.
        read: verifies a signed record; raises PeerFault.
        say: sends to a linked peer.
        linked: who is linked now.
        drop: ends the link to a peer, with the reason.
        keep: makes a record last over a restart.
        news: told of a record that was news, and of the one before it.
        size: how many members there are.
        behind: told of a later start of this very broker that a peer has seen.
    """

    own: BrokerId
    read: Read
    say: Callable[[BrokerId, Kind, dict[str, Any]], bool]
    linked: Callable[[], list[BrokerId]]
    drop: Callable[[BrokerId, str], None]
    keep: Callable[[Held], None]
    news: Callable[[Record, Record | None], None]
    size: Callable[[], int]
    behind: Callable[[int], None]


class Gossip:
    """The book of this broker, and what it says and hears of records.

    Args:
        around: the broker.
        clock: milliseconds since 1970.
        monotonic: milliseconds that only grow.
        chance: picks whom to tell where not everybody is told.
    """

    def __init__(
        self,
        around: Surroundings,
        clock: Callable[[], int],
        monotonic: Callable[[], int],
        chance: random.Random | None = None,
    ) -> None:
        self.book = Book()
        self._around = around
        self._clock = clock
        self._chance = chance or random.Random()  # noqa: S311 - whom to tell first is no secret
        self._bounds = Bounds(around.size, monotonic, lambda peer, reason: self._around.drop(peer, reason))
        self._conflicts: set[BrokerId] = set()
        # with the root a peer stated; None where this broker begins
        self._to_compare: dict[BrokerId, bytes | None] = {}
        self.waiting: Callable[[], None] = lambda: None

    @property
    def hears(self) -> dict[Kind, Hear]:
        """By kind."""
        return {Kind.RECORD: self._opened}

    def _opened(self, each: Opened) -> None:
        self.hear(each.header.origin, each.body.content)

    # what this broker does by itself

    def restore(self, held: Iterable[Held]) -> None:
        """Take in what was kept over a restart; already verified."""
        now = self._clock()
        for each in held:
            if each.record.expires > now and each.record.id != self._around.own:
                self.book.put(each)

    def publish(self, record: Record, raw: bytes) -> None:
        """Hold this broker's own new record and tell everybody who is linked."""
        self.book.put(Held(record, raw, hashlib.sha256(raw).digest(), self._clock()))
        for peer in self._around.linked():
            self._push(peer, [raw])

    def compare_with(self, peers: Iterable[BrokerId]) -> None:
        """Compare books with these, one after another."""
        for peer in peers:
            self._to_compare.setdefault(peer, None)
        self.waiting()

    def compare_next(self) -> bool:
        """Begin or answer the next comparison that waits; whether there was one.

        One after another: a broker whose links all come up at once with an empty book is told everything by the
        first, and finds that it holds the same as the others.
        """
        while self._to_compare:
            peer = next(iter(self._to_compare))
            root = self._to_compare.pop(peer)
            if root is None:
                self._say(peer, root=self.book.root)
                return True
            if root != self.book.root:
                self._say(peer, sums=self.book.sums)
                return True
        return False

    def compare_with_some(self, most: int = 1) -> None:
        """Compare books with a few linked peers: what was lost on the way is found so."""
        self.compare_with(self._some(self._around.linked(), most))

    def _some(self, peers: list[BrokerId], most: int) -> list[BrokerId]:
        return self._chance.sample(peers, min(most, len(peers)))

    def link_changed(self, peer: BrokerId, up: bool) -> None:
        """A link came up: one of the two, the lower id, begins to compare."""
        if up and ids.to_digest(self._around.own) < ids.to_digest(peer):
            self.compare_with([peer])
        elif not up:
            self._to_compare.pop(peer, None)

    def forget(self, broker: BrokerId) -> bool:
        """Hold nothing of that broker any more; whether there was a record."""
        self._bounds.forget(broker)
        self._conflicts.discard(broker)
        return self.book.drop(broker)

    # what peers say

    def hear(self, peer: BrokerId, content: dict[str, Any]) -> None:
        """One step of a peer.

        Raises:
            PeerFault: it is malformed, or a record in it forged; the link is to be closed.
        """
        wanted = content.get("wanted")
        # records are counted one by one; what carries nothing else costs no step: others' news may be all there is
        cost = ("records" not in content) + (len(wanted) if type(wanted) is list else 0)
        if not self._bounds.may_ask(peer, cost):
            return
        if "root" in content:
            self._hear_root(peer, record_book.checked_root(content["root"]))
        elif "sums" in content:
            self._hear_sums(peer, record_book.checked_sums(content["sums"]))
        elif "entries" in content:
            buckets = record_book.checked_buckets(content.get("buckets"))
            self._hear_entries(peer, buckets, record_book.checked_entries(content["entries"]))
        else:
            self._hear_records(peer, content)

    def _hear_root(self, peer: BrokerId, root: bytes) -> None:
        if root != self.book.root:
            self._to_compare[peer] = root
            self.waiting()

    def _hear_sums(self, peer: BrokerId, sums: bytes) -> None:
        buckets = self.book.differing(sums)
        if buckets:
            self._say(peer, buckets=buckets, entries=[list(entry) for entry in self.book.entries(buckets)])

    def _hear_entries(self, peer: BrokerId, buckets: Sequence[int], entries: Sequence[record_book.Entry]) -> None:
        newer, wanted = self.book.compare(buckets, entries)
        if self._bounds.may_ask(peer, len(newer)):
            self._send(peer, newer)
        if wanted:
            self._say(peer, wanted=wanted)

    def _hear_records(self, peer: BrokerId, content: dict[str, Any]) -> None:
        raws, wanted = content.get("records", []), record_book.checked_prefixes(content.get("wanted", []))
        if type(raws) is not list or len(raws) > PAGE_RECORDS:
            raise PeerFault("peer records were refused", code=Code.BAD_RECORD, why="they have another form")
        said = self._bounds.too_much_said(peer)
        # the rest of a page that says too much is not read
        read = itertools.takewhile(
            lambda raw: self._bounds.too_much_said(peer) == said and self._bounds.may_send(peer), raws
        )
        taken = [held for raw in read if (held := self._taken(raw, peer)) is not None]
        if content.get("news") is True:
            self._pass_on(peer, taken)
        elif taken:
            self.compare_with(self._some([each for each in self._around.linked() if each != peer], PAGE_RECORDS))
        self._send(peer, self.book.named(wanted))

    def _taken(self, raw: object, peer: BrokerId) -> Held | None:
        """The record, where it is news and now held."""
        if type(raw) is not bytes or len(raw) > MAX_SIGNED:
            raise PeerFault("peer records were refused", code=Code.BAD_RECORD, why="one is too long, or no bytes")
        digest = hashlib.sha256(raw).digest()
        try:
            record = self._around.read(raw)
        except PeerFault as fault:
            if fault.code in _IGNORED:
                return None
            raise
        if record.id == self._around.own:
            self._hear_of_itself(record)
            return None
        return self._judged(Held(record, raw, digest, self._clock()), peer)

    def _judged(self, new: Held, peer: BrokerId) -> Held | None:
        owner = new.record.id
        before = self.book.get(owner)
        verdict = judge(before.place if before else None, new.record, new.digest, new.heard)
        if verdict is Verdict.CONFLICT and owner not in self._conflicts:
            self._conflicts.add(owner)
            _log.warning("%s has signed two different peer records under one number", ids.short(owner))
        if verdict is not Verdict.NEWS or not self._bounds.may_say(owner, peer):
            return None
        self.book.put(new)
        self._around.keep(new)
        self._around.news(new.record, before.record if before else None)
        return new

    def _hear_of_itself(self, record: Record) -> None:
        own = self.book.get(self._around.own)
        if own is not None and record.incarnation > own.record.incarnation:
            self._around.behind(record.incarnation)

    # what peers are told

    def _pass_on(self, source: BrokerId, taken: list[Held]) -> None:
        linked = self._around.linked()
        told: dict[BrokerId, list[bytes]] = {}
        for held in taken:
            for peer in self.book.onward(held.record.id, source, linked, self._some):
                told.setdefault(peer, []).append(held.raw)
        for peer, raws in told.items():
            self._push(peer, raws)

    def _push(self, peer: BrokerId, raws: list[bytes]) -> None:
        for page in _pages(raws):
            self._say(peer, records=page, news=True)

    def _send(self, peer: BrokerId, owners: Iterable[BrokerId]) -> None:
        found = [held.raw for owner in owners if (held := self.book.get(owner)) is not None]
        for page in _pages(found):
            self._say(peer, records=page)

    def _say(self, peer: BrokerId, **content: object) -> None:
        self._around.say(peer, Kind.RECORD, content)


def _pages(raws: Iterable[bytes]) -> list[list[bytes]]:
    pages: list[list[bytes]] = []
    size = 0
    for raw in raws:
        if not pages or len(pages[-1]) >= PAGE_RECORDS or size + len(raw) > PAGE_BYTES:
            pages.append([])
            size = 0
        pages[-1].append(raw)
        size += len(raw)
    return pages

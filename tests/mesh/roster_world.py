"""Rosters without a network: what one says the other hears at once, and every byte that would cross is counted."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from relay.broker.roster_exchange import RosterExchange, Surroundings
from relay.core import ids
from relay.core.errors import PeerFault
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.roster import Roster, fold
from relay.core.statement_book import StatementBook
from relay.core.statements import FIRST_PREVIOUS, Member, Statement, StatementKind, pack_statement, unpack_statement
from relay.core.wire import pack, unpack
from tests.mesh.gossip_world import ENVELOPE, Counts, public_of

ROOT = public_of(0)
Said = tuple[BrokerId, BrokerId, dict[str, Any]]


@cache
def statement(raw: bytes) -> Statement:
    """What these bytes say; nothing is signed here.

    Raises:
        PeerFault: of no such form.
    """
    parts = unpack(raw, 2_048)
    if type(parts) is not list or len(parts) != 3 or type(parts[1]) is not bytes:
        raise PeerFault("a signed block was refused", why="it is not [1, content, signature]")
    return unpack_statement(parts[1], raw)


def follow(chain: list[bytes], subject: int) -> list[bytes]:
    """The chain, and one more admission."""
    last = statement(chain[-1]) if chain else None
    public = public_of(subject)
    who = ids.broker_id(public)
    said = Statement(
        kind=StatementKind.ADMIT,
        workspace="a" * 26,
        signer=ids.broker_id(ROOT),
        seq=len(chain) + 1,
        previous=last.hash if last else FIRST_PREVIOUS,
        at=1_800_000_000_000 + subject,
        subject=who,
        member=Member(who, public, hashlib.sha256(public).digest(), f"machine-{subject}", subject),
    )
    return [*chain, pack([1, pack_statement(said), bytes(64)])]


@cache
def admissions(count: int) -> tuple[bytes, ...]:
    """The creator's own admission, and as many as make so many members."""
    chain: list[bytes] = []
    for subject in range(count):
        chain = follow(chain, subject)
    return tuple(chain)


class Broker:
    """One roster, and the exchange that keeps it."""

    def __init__(self, world: World, own: BrokerId, raws: Iterable[bytes]) -> None:
        self.world, self.own = world, own
        self.book = StatementBook()
        self.links: dict[BrokerId, None] = {}
        self.heard = Counts()
        self.reminded = 0
        self._put(raws)
        around = Surroundings(
            book=self.book,
            head=lambda: self.roster.head,
            has_gap=lambda: len(self.book) > self.roster.seq and not self.roster.forked,
            say=self._say,
            linked=lambda: self.links,
            take=lambda peer, raws: self._take(peer, raws),
            remind=self._remind,
        )
        self.exchange = RosterExchange(around, lambda: world.now)

    @property
    def raws(self) -> list[bytes]:
        return self.book.named(self.book.marks_beside(b""))

    def _put(self, raws: Iterable[bytes]) -> None:
        for each in map(statement, raws):
            self.book.put(each.hash, each.seq, each.raw)
        held = [statement(filed.raw) for filed in self.book._filed.values()]
        self.roster: Roster = fold(ROOT, held)

    def _say(self, peer: BrokerId, kind: Kind, content: dict[str, Any]) -> bool:
        assert kind is Kind.ROSTER
        if peer in self.links:
            self.world.wire.append((self.own, peer, content))
        return peer in self.links

    def _take(self, peer: BrokerId, raws: list[bytes]) -> None:
        self.admit(raws)
        self.exchange.taken(peer)

    def _remind(self, after_ms: int) -> None:
        self.reminded += 1

    def admit(self, raws: list[bytes]) -> None:
        """Keep new statements, as the one that signs them or as one that heard them."""
        new = [raw for raw in raws if not self.book.has(raw)]
        self._put(new)
        self.exchange.changed(new)


@dataclass
class World:
    """Brokers, and what is on its way between them."""

    now: int = 0
    wire: deque[Said] = field(default_factory=deque)
    brokers: dict[BrokerId, Broker] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    lose: bool = False

    def add(self, number: int, raws: Iterable[bytes]) -> Broker:
        """One more broker, with these statements."""
        own = ids.broker_id(public_of(number))
        self.brokers[own] = Broker(self, own, raws)
        return self.brokers[own]

    def link(self, one: Broker, other: Broker) -> None:
        """Link two; each hears of the other's head."""
        heads = one.roster.head, other.roster.head
        one.links[other.own] = other.links[one.own] = None
        one.exchange.linked(other.own, heads[1])
        other.exchange.linked(one.own, heads[0])

    def join_quietly(self, one: Broker, other: Broker) -> None:
        """Two that are linked since long ago."""
        one.links[other.own] = other.links[one.own] = None
        one.exchange._stated[other.own] = other.roster.head
        other.exchange._stated[one.own] = one.roster.head

    def cut(self, one: Broker, other: Broker) -> None:
        """End a link."""
        del one.links[other.own], other.links[one.own]
        one.exchange.unlinked(other.own)
        other.exchange.unlinked(one.own)

    def run(self) -> None:
        """Carry all that is said to the end."""
        while self.wire:
            sender, recipient, content = self.wire.popleft()
            size = len(pack(content)) + ENVELOPE
            hearer = self.brokers[recipient]
            for counts in (self.counts, hearer.heard, self.brokers[sender].heard):
                counts.messages += 1
                counts.bytes += size
                counts.records += len(content.get("statements", ()))
            if recipient in self.brokers[sender].links and not self.lose:
                hearer.exchange.hear(sender, content)

    def heads(self) -> set[bytes]:
        """The heads of all."""
        return {broker.roster.head for broker in self.brokers.values()}

"""Many books without a network: what one says the other hears at once, and every byte that would cross is counted."""

from __future__ import annotations

import hashlib
import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from relay.broker.gossip import Gossip, Surroundings
from relay.core import ids
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.named_links import chosen_links
from relay.core.record_book import Held
from relay.core.records import MAX_LIFE_MS, Record, pack_record, unpack_record
from relay.core.wire import pack

NOW = 1_800_000_000_000
ENVELOPE = 420  # header, seal and signature around a body, and the frame around it


def public_of(number: int) -> bytes:
    """A key that stands for one: nothing is signed here."""
    return hashlib.sha256(b"gossip" + number.to_bytes(4, "big")).digest()


@dataclass
class Counts:
    """What crossed."""

    messages: int = 0
    bytes: int = 0
    records: int = 0


@dataclass
class World:
    """Books of so many members, and who is linked with whom."""

    size: int
    seed: int = 0
    now: int = NOW
    counts: Counts = field(default_factory=Counts)
    by_broker: dict[BrokerId, Counts] = field(default_factory=dict)
    dropped: list[tuple[BrokerId, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keys = [public_of(number) for number in range(self.size)]
        self.members = [ids.broker_id(key) for key in self.keys]
        self.links: dict[BrokerId, set[BrokerId]] = {member: set() for member in self.members}
        self.seqs = dict.fromkeys(self.members, 0)
        self.saying: dict[BrokerId, Record] = {}
        self._read: dict[bytes, Record] = {}
        self._wire: deque[tuple[BrokerId, BrokerId, dict[str, Any]]] = deque()
        self.by_broker = {member: Counts() for member in self.members}
        self.gossips = {member: self._gossip(member, at) for at, member in enumerate(self.members)}

    def _gossip(self, own: BrokerId, at: int) -> Gossip:
        def say(peer: BrokerId, kind: Kind, content: dict[str, Any]) -> bool:
            if peer in self.links[own]:
                self._wire.append((own, peer, content))
            return peer in self.links[own]

        around = Surroundings(
            own=own,
            read=self._record,
            say=say,
            linked=lambda: list(self.links[own]),
            drop=lambda peer, reason: self.dropped.append((peer, reason)),
            keep=lambda held: None,
            news=lambda record, before: None,
            size=lambda: self.size,
            behind=lambda incarnation: None,
        )
        return Gossip(around, lambda: self.now, lambda: self.now - NOW, random.Random(self.seed + at))

    def _record(self, raw: object) -> Record:
        assert isinstance(raw, bytes)
        if raw not in self._read:
            self._read[raw] = unpack_record(raw)
        return self._read[raw]

    # who is linked

    def link(self, one: BrokerId, other: BrokerId, *, tell: bool = True) -> None:
        """Link two."""
        self.links[one].add(other)
        self.links[other].add(one)
        if tell:
            self.gossips[one].link_changed(other, True)
            self.gossips[other].link_changed(one, True)

    def settled(self) -> None:
        """Everybody holds everybody's record, as after a long time."""
        for member in self.members:
            self.seqs[member] = 1
            self.saying[member] = self.record(member)
        held = {}
        for member, record in self.saying.items():
            raw = pack_record(record)
            held[member] = Held(self._record(raw), raw, hashlib.sha256(raw).digest(), self.now)
        for gossip in self.gossips.values():
            for each in held.values():
                gossip.book.put(each)

    # what happens

    def record(self, member: BrokerId) -> Record:
        """What a member would say now."""
        links = chosen_links(member, self.links[member], ())
        return Record(
            public=self.keys[self.members.index(member)],
            sealing_public=bytes(32),
            incarnation=1,
            seq=self.seqs[member],
            created=self.now,
            expires=self.now + MAX_LIFE_MS,
            addresses=("192.168.1.20:7411", "100.101.102.103:7411", "machine.tail1234.ts.net:7411"),
            agents=("claude", "codex", "exec", "shell"),
            version="0.1.0",
            linked=links,
        )

    def publish(self, member: BrokerId) -> None:
        """A member says something new."""
        self.seqs[member] += 1
        record = self.record(member)
        raw = pack_record(record)
        self.gossips[member].publish(self._record(raw), raw)

    def run(self) -> None:
        """Carry all that is said, and all comparisons that wait, to the end."""
        while True:
            while self._wire:
                self._carry(*self._wire.popleft())
            begun = sum(gossip.compare_next() for gossip in self.gossips.values())
            if not begun:
                return

    def _carry(self, sender: BrokerId, recipient: BrokerId, content: dict[str, Any]) -> None:
        size = len(pack(content)) + ENVELOPE
        for counts in (self.counts, self.by_broker[sender], self.by_broker[recipient]):
            counts.messages += 1
            counts.bytes += size
            counts.records += len(content.get("records", ()))
        self.gossips[recipient].hear(sender, content)

    def knows_newest(self, owner: BrokerId, members: Iterable[BrokerId]) -> int:
        """How many of these hold an owner's last record."""
        books = [self.gossips[member].book.get(owner) for member in members]
        return sum(held is not None and held.record.seq == self.seqs[owner] for held in books)

    def reset(self) -> None:
        """Count from here."""
        self.counts = Counts()
        self.by_broker = {member: Counts() for member in self.members}


def full_mesh(size: int) -> World:
    """Everybody linked with everybody."""
    world = World(size)
    for at, one in enumerate(world.members):
        for other in world.members[:at]:
            world.link(one, other, tell=False)
    world.settled()
    return world


def hub(size: int, hubs: int = 1) -> World:
    """Everybody linked with the same few, and those with one another."""
    world = World(size)
    for at, one in enumerate(world.members):
        for other in world.members[: min(at, hubs)]:
            world.link(one, other, tell=False)
    world.settled()
    return world


def sparse(size: int, links: int = 8) -> World:
    """Everybody linked with a few at random."""
    world, chance = World(size), random.Random(1)
    for at, one in enumerate(world.members[1:], 1):
        for other in chance.sample(world.members[:at], min(links // 2, at)):
            world.link(one, other, tell=False)
    world.settled()
    return world

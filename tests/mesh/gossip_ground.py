"""One book with real keys and signatures, and records for it."""

from __future__ import annotations

import dataclasses
from typing import Any

from relay.broker.gossip import Gossip, Surroundings
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.record_book import Held
from relay.core.records import MAX_LIFE_MS, Record
from relay.testing.bench_node import identities
from relay.trust.identity import Identity
from relay.trust.records import sign_record, verify_record
from relay.trust.sealing import PeerKeys
from tests.mesh.gossip_world import NOW


class Ground:
    """One book with real keys: its own, and those of one member that sends."""

    def __init__(self) -> None:
        self.own, self.peer, self.third = identities(3)
        self.members = {each.id: PeerKeys.of(each) for each in (self.own, self.peer, self.third)}
        self.said: list[tuple[BrokerId, dict[str, Any]]] = []
        self.kept: list[Held] = []
        self.news: list[BrokerId] = []
        self.drops: list[str] = []
        self.later: list[int] = []
        self.ms = 0
        around = Surroundings(
            own=self.own.id,
            read=lambda raw: verify_record(raw, self.members.get),
            say=self._say,
            linked=lambda: [self.peer.id, self.third.id],
            drop=lambda peer, reason: self.drops.append(reason),
            keep=self.kept.append,
            news=lambda record, before: self.news.append(record.id),
            size=lambda: 3,
            behind=self.later.append,
        )
        self.gossip = Gossip(around, lambda: NOW, lambda: self.ms)

    def _say(self, peer: BrokerId, kind: Kind, content: dict[str, Any]) -> bool:
        self.said.append((peer, content))
        return True

    def hear(self, *raws: bytes, **more: object) -> None:
        self.gossip.hear(self.peer.id, {"records": list(raws), "news": True, **more})


def record_of(identity: Identity, seq: int = 1, **said: Any) -> Record:
    made = Record(identity.public, identity.sealing.public, 1, seq, NOW, NOW + MAX_LIFE_MS, ("10.0.0.1:7411",))
    return dataclasses.replace(made, **said)


def signed(identity: Identity, seq: int = 1, **said: Any) -> bytes:
    return sign_record(identity, record_of(identity, seq, **said))

"""This broker's own record: made when there is something new to say and it has settled, renewed before it dies."""

from __future__ import annotations

import asyncio

import pytest

from relay.broker import own_record
from relay.broker.own_record import OwnRecord, Saying
from relay.core.records import MAX_SKEW_MS, RENEW_AFTER_MS, Record
from relay.testing.bench_node import identities, until
from relay.trust.records import verify_record
from relay.trust.sealing import PeerKeys

NOW = 1_800_000_000_000


class Owner:
    """A broker that says something."""

    def __init__(self) -> None:
        (self.identity,) = identities(1)
        self.now = NOW
        self.saying = Saying(addresses=("10.0.0.1:7411",), agents=("shell", "Not A Name"), version="0\n1" * 40)
        self.made: list[Record] = []
        self.own = OwnRecord(self.identity, 5, lambda: self.saying, self._publish, lambda: self.now, lambda: 2)

    def _publish(self, record: Record, raw: bytes) -> None:
        keys = PeerKeys.of(self.identity)
        self.made.append(verify_record(raw, lambda broker: keys if broker == self.identity.id else None))


@pytest.fixture
def owner() -> Owner:
    return Owner()


def test_it_is_made_when_there_is_something_new(owner: Owner) -> None:
    assert owner.own.look() is True and owner.own.look() is False
    owner.saying = Saying(addresses=("10.0.0.2:7411",))
    assert owner.own.look() is True
    assert [record.age for record in owner.made] == [(5, 1), (5, 2)]
    assert owner.made[0].agents == ("shell",) and owner.made[0].version.isprintable()


def test_it_is_renewed_and_made_anew_when_the_clock_was_set_back(owner: Owner) -> None:
    owner.own.look()
    owner.now += RENEW_AFTER_MS - 1
    assert owner.own.look() is False
    owner.now += 1
    assert owner.own.look() is True
    owner.now -= MAX_SKEW_MS
    assert owner.own.look() is False
    owner.now -= 1
    assert owner.own.look() is True


async def test_links_settle_first(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_record, "LINKS_SETTLE_S", 3_600.0)
    owner.own.links_changed()
    owner.own.links_changed()
    await asyncio.sleep(0)
    assert owner.made == []
    # what is more urgent does not wait for them, and brings them along
    monkeypatch.setattr(own_record, "SOON_S", 0.01)
    owner.own.changed()
    await until(lambda: len(owner.made) == 1)
    owner.own.links_changed()
    owner.own.close()

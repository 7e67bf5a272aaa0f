"""This broker's words are sealed again: before they expire, and where the recipient refused them for that."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.broker import reissue
from relay.broker.inbox import Opened
from relay.broker.reissue import STOPS_BEFORE_MS, WORDS_BEFORE_MS, Reissue
from relay.core.envelope import MAX_LIFE_MS
from relay.core.errors import Code
from relay.core.kinds import KINDS, Kind
from relay.core.states import State
from relay.spawn.ledger import SNAPSHOT_TTL
from relay.store import outbox, steers, words
from relay.store.journal import Entry, Letter
from relay.store.outbox import OutboxLine, OutboxState
from relay.store.steers import Steer
from relay.testing.bench_node import BenchNode, drained, until, wall_ms
from relay.testing.carrier import MemoryNetwork
from tests.mesh.conftest import RAW, Pair
from tests.store.specimens import insert

DAY = 86_400_000
WORD = words.SignedWord("abcdefghijklmnop", 1, 2, State.COMPLETED, 0, bytes(64), b"signed")
OPERATION = f"word/{WORD.spawn}/{WORD.attempt}/{WORD.seq}"


async def _say(one: BenchNode, other: BenchNode, ttl: int, **more: object) -> None:
    def decide(entry: Entry) -> None:
        words.keep(entry.tx, WORD)
        content = {"snapshot": WORD.bytes, "signature": WORD.signature, **more}
        entry.post(Letter(other.id, Kind.SNAPSHOT, content, OPERATION, ttl, WORD.spawn))

    await one.journal.commit(decide)


async def _line(one: BenchNode) -> OutboxLine:
    (line,) = await one.rows()
    return line


@pytest.fixture
def recipient_is_older(monkeypatch: pytest.MonkeyPatch) -> None:
    """To an older version of Relay a snapshot has its time."""
    monkeypatch.setitem(KINDS, Kind.SNAPSHOT, replace(KINDS[Kind.SNAPSHOT], timeless=False))


@pytest.mark.parametrize("life", [-90 * DAY, -1_000, MAX_LIFE_MS + 90 * DAY])
async def test_a_word_is_taken_whatever_its_time_and_acts_once(pair: Pair, network: MemoryNetwork, life: int) -> None:
    """What it says is signed, and ordered by itself: played again it is receipted, and says nothing new."""
    one, other = pair
    one.inbox._hears[Kind.NACK] = _fails
    network.partition(one.id, other.id)
    network.cut(one.id, other.id)
    await _say(one, other, life)
    (raw,) = await one.store.all(RAW)
    network.heal(one.id, other.id)
    await drained(one)
    assert await other.acted() == [OPERATION]
    await other.inbox.take([raw], one.id)
    assert await other.acted() == [OPERATION]
    kept = await other.store.write(lambda tx: tx.execute("SELECT max(expires) FROM seen").fetchone()[0])
    assert kept <= wall_ms() + MAX_LIFE_MS


def _fails(each: Opened) -> None:
    raise AssertionError(each.body.content)


async def test_a_late_word_on_a_run_that_may_have_been_forgotten_does_not_bring_it_back(pair: Pair) -> None:
    one, other = pair
    await _say(one, other, -1_000, run={"schedule": ""})
    await until(lambda: _is_marked(one))
    assert await other.acted() == []


async def test_receipts_of_one_whose_clock_is_behind_count(pair: Pair) -> None:
    one, other = pair
    other.ahead_ms, other.is_believed = -40 * DAY, False
    await one.post(other.id, "operation")
    await drained(one, within=20)


async def test_one_that_is_refused_again_and_again_rests_ever_longer(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, recipient_is_older: None
) -> None:
    """Its recipient's clock or this one's may stay wrong for days."""
    one, other = pair
    minute = 0
    monkeypatch.setattr(reissue, "monotonic_ms", lambda: minute * 60_000)
    one.ahead_ms = -40 * DAY
    await _say(one, other, SNAPSHOT_TTL)
    await until(lambda: _is_marked(one), what="the first refusal")
    sealed = []
    for minute in range(1, 70):
        if await one.journal.commit(one.reissue.due):
            sealed.append(minute)
            await until(lambda: _is_marked(one), what="a refusal")
    assert sealed == [1, 3, 7, 15, 31, 63]
    one.ahead_ms = 0
    one.reissue.clock_was_set()
    assert await one.journal.commit(one.reissue.due) == 1
    await drained(one)


async def test_what_is_refused_as_expired_is_sealed_again_and_taken(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, recipient_is_older: None
) -> None:
    monkeypatch.setattr(reissue, "CALM_MS", 0)
    one, other = pair
    await _say(one, other, -1_000)
    await drained(one)
    assert await other.acted() == [OPERATION]


async def test_what_is_refused_as_expiring_too_late_is_sealed_again_and_taken(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, recipient_is_older: None
) -> None:
    """It was sealed while this machine's clock was ahead."""
    monkeypatch.setattr(reissue, "CALM_MS", 0)
    one, other = pair
    await _say(one, other, MAX_LIFE_MS + DAY)
    await drained(one)
    assert await other.acted() == [OPERATION]


async def test_what_expires_too_late_is_sealed_again_before_it_is_refused(pair: Pair, network: MemoryNetwork) -> None:
    one, other = pair
    network.partition(one.id, other.id)
    network.cut(one.id, other.id)
    await _say(one, other, MAX_LIFE_MS + DAY)
    before = await _line(one)
    assert await one.journal.commit(Reissue(one.postbox).due) == 1
    assert (await _line(one)).expires < before.expires - DAY
    assert await one.journal.commit(Reissue(one.postbox).due) == 0


async def test_two_wrong_clocks_do_not_race(pair: Pair, recipient_is_older: None) -> None:
    """What was sealed a moment ago and is refused as expired waits for the next tidying; it is no dead letter."""
    one, other = pair
    await _say(one, other, -1_000)
    await until(lambda: _is_marked(one))
    line = await _line(one)
    assert line.state is OutboxState.PENDING and await other.acted() == []
    assert await one.journal.commit(Reissue(one.postbox).due) == 1
    await drained(one)
    assert await other.acted() == [OPERATION]


async def _is_marked(one: BenchNode) -> bool:
    return "sealed again" in (await _line(one)).reason


async def test_what_would_expire_soon_is_sealed_again_once(pair: Pair, network: MemoryNetwork) -> None:
    one, other = pair
    network.partition(one.id, other.id)
    network.cut(one.id, other.id)
    await _say(one, other, WORDS_BEFORE_MS - 1)
    before = await _line(one)
    assert await one.journal.commit(Reissue(one.postbox).due) == 1
    after = await _line(one)
    assert after.id != before.id and after.n > before.n and after.expires > before.expires + WORDS_BEFORE_MS
    assert (after.created, after.operation) == (before.created, before.operation)
    assert await one.journal.commit(Reissue(one.postbox).due) == 0
    network.heal(one.id, other.id)
    await drained(one)
    assert await other.acted() == [OPERATION]


async def test_a_word_that_a_later_one_replaced_is_let_go(pair: Pair, network: MemoryNetwork) -> None:
    one, other = pair
    network.partition(one.id, other.id)
    network.cut(one.id, other.id)
    await _say(one, other, 60_000)
    later = words.SignedWord(WORD.spawn, 1, 3, State.COMPLETED, 0, bytes(64), b"later")

    def supersede(entry: Entry) -> None:
        words.keep(entry.tx, later)
        words.forget_older(entry.tx, WORD.spawn)

    await one.journal.commit(supersede)
    await one.journal.commit(Reissue(one.postbox).due)
    assert await one.rows() == []


async def test_other_refusals_are_no_matter_of_sealing(pair: Pair) -> None:
    one, other = pair
    await one.post(other.id, "operation")
    again = Reissue(one.postbox)

    def decide(entry: Entry) -> list[bool]:
        codes = (Code.POISON, Code.UNKNOWN_KIND, Code.EXPIRED)
        return [again.refused(entry, line, code) for line in outbox.ALL.all(entry.tx, limit=1) for code in codes]

    assert True not in await one.journal.commit(decide)
    assert STOPS_BEFORE_MS < WORDS_BEFORE_MS


async def test_a_stop_of_what_is_to_run_once_more_is_sealed_again(pair: Pair, network: MemoryNetwork) -> None:
    """It has ended here, and where its retry may have been sent that one is to be stopped."""
    one, other = pair
    network.partition(one.id, other.id)
    network.cut(one.id, other.id)

    def asked(entry: Entry) -> None:
        row = insert(entry.tx, 1, origin=one.id, target=other.id, state=State.COMPLETED)
        steers.ask(entry.tx, Steer("again", row.id, "retry", {}, entry.now, None))
        entry.post(Letter(other.id, Kind.STOP, {"spawn": row.id}, "stop", 60_000, row.id))

    await one.journal.commit(asked)
    before = await _line(one)
    assert await one.journal.commit(Reissue(one.postbox).due) == 1
    assert (await _line(one)).expires > before.expires + STOPS_BEFORE_MS
    await one.store.write(lambda tx: steers.answer(tx, "again", {"code": "denied"}))
    line = await _line(one)
    await one.journal.commit(lambda entry: Reissue(one.postbox).again(entry, line))
    assert await one.rows() == []

"""Outbox and inbox: posted once, paged, cleared by the recipient alone; taken once, purged without a gap."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.errors import Code, LocalFault
from relay.store import inbox, meta, outbox
from relay.store.inbox import Taken
from relay.store.migrations import MIGRATIONS
from relay.store.opening import connect
from relay.store.outbox import OutboxState, Quota, Totals
from relay.store.query import Tx
from tests.store.specimens import HERE, THERE, THIRD, posting

FREE = Quota(1_000, 1_000_000)


def _id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def _page(tx: Tx, after: int = 0, limit: int = 32, max_bytes: int = 10_000) -> list[int]:
    page = outbox.PAGE.all(tx, recipient=THERE, after=after, limit=limit, max_bytes=max_bytes)
    return [int.from_bytes(parcel.id, "big") for parcel in page]


def _totals(tx: Tx) -> Totals:
    totals = outbox.TOTALS.one(tx)
    assert totals is not None
    return totals


def test_an_operation_is_posted_once_for_each_recipient_and_kind(tx: Tx) -> None:
    assert outbox.post(tx, posting(1, operation="op", spawn="s"), FREE)
    assert not outbox.post(tx, posting(2, operation="op"), FREE)
    assert outbox.post(tx, posting(3, operation="op", recipient=THIRD), FREE)
    assert outbox.post(tx, posting(4, operation="op", kind="stop"), FREE)
    assert _totals(tx) == Totals(3, 300, 1_001)
    assert [line.id for line in outbox.BY_SPAWN.all(tx, spawn="s")] == [_id(1)]
    assert dict(outbox.WAITING.all(tx)) == {THERE: 2, THIRD: 1}


@pytest.mark.parametrize("quota", [Quota(2, 10_000), Quota(10, 299)])
def test_a_full_outbox_refuses_and_makes_room_again(tx: Tx, quota: Quota) -> None:
    outbox.post(tx, posting(1), quota)
    outbox.post(tx, posting(2), quota)
    with pytest.raises(LocalFault) as caught:
        outbox.post(tx, posting(3), quota)
    assert caught.value.code is Code.OUTBOX_FULL
    assert not outbox.post(tx, posting(2), quota), "a retry of what is queued is no new envelope"
    assert outbox.post(tx, posting(4), None), "a result is never refused"
    outbox.receipted(tx, THERE, [_id(1), _id(2)])
    assert outbox.post(tx, posting(3), quota)


def test_pages_follow_each_other_within_their_bounds(tx: Tx) -> None:
    for number in range(1, 11):
        outbox.post(tx, posting(number), FREE)
    outbox.post(tx, posting(11, recipient=THIRD), FREE)
    assert _page(tx) == list(range(1, 11))
    assert _page(tx, limit=4) == [1, 2, 3, 4]
    assert _page(tx, after=4, max_bytes=350) == [5, 6, 7]
    assert _page(tx, after=4, max_bytes=5) == [5], "one envelope always fits"
    assert _page(tx, after=10) == []


def test_a_number_never_comes_back(tx: Tx) -> None:
    outbox.post(tx, posting(1), FREE)
    last = outbox.PAGE.all(tx, recipient=THERE, after=0, limit=1, max_bytes=1)[0].n
    outbox.receipted(tx, THERE, [_id(1)])
    outbox.post(tx, posting(2), FREE)
    assert _page(tx, after=last) == [2]


def test_only_the_recipient_clears_a_row(tx: Tx) -> None:
    outbox.post(tx, posting(1, spawn="s"), FREE)
    assert outbox.receipted(tx, THIRD, [_id(1)]) == []
    (line,) = outbox.receipted(tx, THERE, [_id(1), _id(7)])
    assert (line.spawn, line.operation, line.kind) == ("s", "op-1", "spawn")
    assert _totals(tx) == Totals(0, 0, None)


def test_dead_letters_are_kept_and_may_be_sent_again(tx: Tx) -> None:
    for number in (1, 2):
        outbox.post(tx, posting(number), FREE)
    outbox.mark_tried(tx, [_id(1), _id(2)], 50)
    assert outbox.dead_letter(tx, _id(1), "poison")
    assert not outbox.dead_letter(tx, _id(1), "again")
    line = outbox.BY_ID.one(tx, id=_id(1))
    assert line and (line.state, line.reason, line.tries, line.last_try) == (OutboxState.DEAD, "poison", 1, 50)
    assert (_page(tx), _totals(tx).envelopes) == ([2], 2)
    assert outbox.retry(tx, _id(1))
    assert not outbox.retry(tx, _id(2))
    outbox.post(tx, posting(3), FREE)
    assert _page(tx, after=2) == [1, 3]
    assert outbox.drop(tx, _id(1))
    assert not outbox.drop(tx, _id(1))
    assert outbox.drop_for(tx, THERE) == 2


def test_an_envelope_is_sealed_again_in_place(tx: Tx) -> None:
    outbox.post(tx, posting(1), FREE)
    assert outbox.reseal(tx, _id(1), _id(9), bytes(300), 9_999)
    assert not outbox.reseal(tx, _id(1), _id(8), bytes(300), 9_999)
    assert (_page(tx), _totals(tx).bytes) == ([9], 300)


def test_what_expired_is_found(tx: Tx) -> None:
    for number in (1, 2, 3):
        outbox.post(tx, posting(number), FREE)
    outbox.dead_letter(tx, _id(1), "")
    assert [line.id for line in outbox.EXPIRED.all(tx, now=5_002, limit=9)] == [_id(2)]
    assert len(outbox.ALL.all(tx, limit=9)) == len(outbox.BY_RECIPIENT.all(tx, recipient=THERE)) == 3


def test_an_envelope_is_taken_once(tx: Tx) -> None:
    assert inbox.take(tx, HERE, _id(1), b"d", 10) is Taken.FRESH
    assert inbox.take(tx, HERE, _id(1), b"d", 10) is Taken.AGAIN
    assert inbox.take(tx, HERE, _id(1), b"other", 10) is Taken.FORGED
    assert inbox.take(tx, THERE, _id(1), b"other", 10) is Taken.FRESH


def test_an_effect_happens_once_and_keeps_its_answer(tx: Tx) -> None:
    assert inbox.first_effect(tx, HERE, "op", 10)
    assert inbox.operation_answer(tx, HERE, "op") is None
    inbox.keep_answer(tx, HERE, "op", b"yes")
    assert not inbox.first_effect(tx, HERE, "op", 50)
    assert inbox.operation_answer(tx, HERE, "op") == b"yes"
    assert inbox.first_effect(tx, THERE, "op", 10)
    assert inbox.purge(tx, 20) == 1
    assert not inbox.first_effect(tx, HERE, "op", 10), "the repetition prolonged it"


def test_what_was_purged_is_refused(tx: Tx) -> None:
    for number in range(1, 6):
        inbox.take(tx, HERE, _id(number), b"d", number * 10)
    assert inbox.purge(tx, 35) == 3
    assert inbox.take(tx, HERE, _id(3), b"d", 30) is Taken.STALE
    assert inbox.take(tx, HERE, _id(0), b"d", 30) is Taken.STALE
    assert (inbox.purged_beyond(tx, 30), inbox.purged_beyond(tx, 31)) == (True, False)
    assert inbox.take(tx, HERE, _id(78), b"d", 31) is Taken.FRESH
    assert inbox.take(tx, HERE, _id(4), b"d", 40) is Taken.AGAIN


def test_what_is_made_after_an_early_purge_is_told_from_what_it_forgot(tx: Tx) -> None:
    for number in (1, 2, 3):
        inbox.take(tx, HERE, _id(number), b"d", 1_000)
    assert inbox.purge(tx, 2_000) == 3
    # whatever its expiry: it is none of those
    assert inbox.take(tx, HERE, _id(4), b"d", 500) is Taken.FRESH
    assert inbox.take(tx, HERE, _id(4), b"d", 500) is Taken.AGAIN
    assert inbox.take(tx, HERE, _id(4), b"other", 500) is Taken.FORGED
    assert [inbox.take(tx, HERE, _id(number), b"d", 1_000) for number in (1, 2, 3)] == [Taken.STALE] * 3
    # of this origin nothing was purged, whatever the other one's ids
    assert inbox.take(tx, THERE, _id(1), b"d", 500) is Taken.FRESH
    assert inbox.purge(tx, 600) == 2
    assert inbox.take(tx, HERE, _id(4), b"d", 500) is Taken.STALE


def test_what_was_purged_before_ids_were_noted_stays_refused(tx: Tx) -> None:
    now, day = 1_800_000_000_000, 86_400_000
    meta.put(tx, inbox.MARK, str(now))
    made = [(now + days * day).to_bytes(6, "big") + bytes(10) for days in (-1, 2)]
    assert [inbox.take(tx, HERE, each, b"d", now) for each in made] == [Taken.STALE, Taken.STALE]
    inbox.purge(tx, now)
    assert [inbox.take(tx, HERE, each, b"d", now) for each in made] == [Taken.STALE, Taken.FRESH]


def test_a_purge_in_steps_ends_where_one_purge_does(tx: Tx) -> None:
    for number in range(25):
        inbox.take(tx, HERE, _id(number), b"d", number)
        inbox.first_effect(tx, HERE, f"op-{number}", number)
    assert [inbox.purge(tx, 22, limit=10) for _ in range(4)] == [20, 20, 4, 0]
    assert inbox.purged_beyond(tx, 21)
    assert not inbox.purged_beyond(tx, 22)


_TAKE = st.tuples(st.just("take"), st.integers(0, 8), st.integers(0, 30))
_PURGE = st.tuples(st.just("purge"), st.integers(1, 5), st.integers(0, 30))


@given(steps=st.lists(st.one_of(_TAKE, _PURGE), max_size=40))
@settings(max_examples=100, deadline=None)
def test_no_envelope_is_fresh_twice_whatever_is_purged_between(steps: list[tuple[str, int, int]]) -> None:
    connection = connect(":memory:")  # type: ignore[arg-type]
    connection.executescript(MIGRATIONS[0])
    fresh: set[tuple[int, int]] = set()
    for verb, number, moment in steps:
        if verb == "purge":
            inbox.purge(connection, moment, limit=number)
            continue
        # one envelope has one expiry: the pair names it
        envelope = _id(number * 100 + moment)
        if inbox.take(connection, HERE, envelope, b"d", moment) is Taken.FRESH:
            assert (number, moment) not in fresh
            fresh.add((number, moment))
    connection.close()

"""The window over the outbox: order, bounds, what a lost link and a late receipt do."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from relay.core.delivery import MAX_IN_FLIGHT, MAX_QUEUED, MAX_QUEUED_BYTES, RESEND_AFTER, Outgoing, Window
from relay.core.frames import MAX_BATCH, MAX_BATCH_BYTES

PLENTY = 10**9
T = 50_000


def row(n: int, size: int = 10, *, tried: bool = True) -> Outgoing:
    return Outgoing(n, b"%016d" % n, bytes(size), tried)


def window(*rows: Outgoing) -> Window:
    """One that has read everything there was."""
    made = Window()
    made.refill(rows, end=True)
    return made


def numbers(rows: Iterable[Outgoing]) -> list[int]:
    return [each.n for each in rows]


def places(rows: Iterable[Outgoing]) -> list[tuple[bool, int]]:
    return [each.place for each in rows]


def ids(*ns: int) -> list[bytes]:
    return [row(n).id for n in ns]


def test_rows_leave_in_their_order() -> None:
    filled = window(*map(row, range(1, 4)))
    filled.offer(row(4))
    assert numbers(filled.take(PLENTY, T)) == [1, 2, 3, 4]
    assert filled.take(PLENTY, T) == []


def test_a_batch_is_bounded_in_number() -> None:
    filled = window(*map(row, range(1, 40)))
    assert numbers(filled.take(PLENTY, T)) == list(range(1, MAX_BATCH + 1))
    assert numbers(filled.take(PLENTY, T)) == list(range(MAX_BATCH + 1, 40))


def test_a_batch_is_bounded_in_bytes() -> None:
    filled = window(*(row(n, MAX_BATCH_BYTES // 3) for n in range(1, 6)))
    assert numbers(filled.take(PLENTY, T)) == [1, 2, 3]
    assert numbers(filled.take(PLENTY, T)) == [4, 5]


def test_one_row_always_fits_a_batch() -> None:
    filled = window(row(1, MAX_BATCH_BYTES + 1), row(2))
    assert numbers(filled.take(PLENTY, T)) == [1]
    assert numbers(filled.take(PLENTY, T)) == [2]


def test_a_batch_is_bounded_by_credit() -> None:
    filled = window(row(1, 100), row(2, 100), row(3, 100))
    assert filled.take(99, T) == [] == filled.take(-5, T)
    assert numbers(filled.take(250, T)) == [1, 2]


def test_what_is_in_flight_is_bounded() -> None:
    filled = window(*map(row, range(1, MAX_IN_FLIGHT + 10)))
    taken = [each for _ in range(100) for each in filled.take(PLENTY, T)]
    assert numbers(taken) == list(range(1, MAX_IN_FLIGHT + 1))
    filled.receipted(ids(1))
    assert numbers(filled.take(PLENTY, T)) == [MAX_IN_FLIGHT + 1]


def test_a_receipt_ends_what_is_in_flight_only() -> None:
    filled = window(row(1), row(2))
    assert filled.idle
    filled.take(15, T)
    assert not filled.idle
    assert filled.receipted(ids(1, 2, 3)) == ids(1)
    assert filled.idle and numbers(filled.take(PLENTY, T)) == [2]


def test_what_was_dropped_is_not_sent_again() -> None:
    filled = window(row(1), row(2))
    filled.take(PLENTY, T)
    filled.drop(ids(1, 9))
    filled.link_lost()
    assert numbers(filled.take(PLENTY, T)) == [2]


def test_a_lost_link_puts_all_of_it_in_front_in_order() -> None:
    filled = window(*map(row, range(1, 6)))
    filled.take(45, T)
    filled.receipted(ids(2))
    filled.link_lost()
    assert filled.idle and numbers(filled.take(PLENTY, T)) == [1, 3, 4, 5]


@pytest.mark.parametrize("tried", [True, False])
def test_a_lost_link_marks_nothing_as_tried(tried: bool) -> None:
    """The mark is true when it is on disk; that of a row in flight may never have got there."""
    filled = window(row(1, tried=tried))
    filled.take(PLENTY, T)
    filled.link_lost()
    assert [each.tried for each in filled.take(PLENTY, T)] == [tried]
    filled.resend(T + RESEND_AFTER)
    assert [each.tried for each in filled.take(PLENTY, T)] == [tried]


def test_what_is_late_is_sent_again_before_the_rest() -> None:
    filled = window(*map(row, range(1, 6)))
    assert filled.next_resend() is None
    filled.take(25, T)
    filled.take(15, T + 10)
    assert filled.next_resend() == T + RESEND_AFTER
    filled.resend(T + RESEND_AFTER - 1)
    assert filled.take(0, T) == []
    filled.resend(T + RESEND_AFTER)
    assert filled.next_resend() == T + 10 + RESEND_AFTER
    assert numbers(filled.take(PLENTY, T + RESEND_AFTER)) == [1, 2, 4, 5]


def test_what_is_late_at_different_times_is_sent_again_in_order() -> None:
    filled = window(row(1), row(2))
    filled.take(10, T)
    filled.take(10, T + 10)
    filled.resend(T + RESEND_AFTER)
    filled.resend(T + RESEND_AFTER + 10)
    assert numbers(filled.take(PLENTY, T + RESEND_AFTER + 10)) == [1, 2]


def test_what_goes_ahead_leaves_before_the_rest_in_its_own_order() -> None:
    def ahead(n: int) -> Outgoing:
        return replace(row(n), ahead=True)

    filled = window(row(1), row(2), ahead(3), row(4))
    filled.offer(ahead(5))
    assert numbers(filled.take(45, T)) == [3, 5, 1, 2]
    filled.offer(ahead(6))
    filled.link_lost()
    assert numbers(filled.take(35, T)) == [3, 5, 6]
    filled.offer(ahead(7))
    filled.resend(T + RESEND_AFTER)
    assert numbers(filled.take(PLENTY, T + RESEND_AFTER)) == [3, 5, 6, 7, 1, 2, 4]
    filled.untake([row(1), ahead(7), row(4)])
    assert numbers(filled.take(PLENTY, T + RESEND_AFTER)) == [7, 1, 4]


# the window and the store


def test_it_wants_to_read_before_it_takes_what_is_offered() -> None:
    fresh = Window()
    assert fresh.wants_more
    fresh.offer(row(5))
    assert fresh.take(PLENTY, T) == [], "earlier rows may be in the store"
    fresh.refill([row(4), row(5)], end=False)
    assert fresh.wants_more
    fresh.refill([], end=True)
    assert not fresh.wants_more
    fresh.offer(row(6))
    assert numbers(fresh.take(PLENTY, T)) == [4, 5, 6]


def test_a_row_that_was_read_and_is_offered_is_sent_once() -> None:
    fresh = Window()
    fresh.refill([row(1), row(2)], end=True)
    fresh.offer(row(2))
    fresh.refill([row(1), row(2), row(3)], end=True)
    assert numbers(fresh.take(PLENTY, T)) == [1, 2, 3]


def test_it_counts_what_it_missed_while_it_was_read() -> None:
    """A read that began before the row was committed says `end`; who reads compares the count, as `Outbox` does."""
    fresh = Window()
    before = fresh.missed
    fresh.offer(row(1))
    fresh.refill([], end=fresh.missed == before)
    assert fresh.wants_more
    before = fresh.missed
    fresh.refill([row(1)], end=fresh.missed == before)
    assert not fresh.wants_more and numbers(fresh.take(PLENTY, T)) == [1]


def test_a_full_window_leaves_the_rest_to_the_store() -> None:
    filled = window(*map(row, range(1, MAX_QUEUED + 1)))
    filled.offer(row(MAX_QUEUED + 1))
    assert not filled.complete and not filled.wants_more
    while not filled.wants_more:
        filled.receipted([each.id for each in filled.take(PLENTY, T)])
    filled.refill([row(MAX_QUEUED + 1)], end=True)
    rest = [each for _ in range(MAX_QUEUED) for each in filled.take(PLENTY, T)]
    assert rest[-1].n == MAX_QUEUED + 1


def test_a_window_is_full_by_bytes_too() -> None:
    big = 250 * 1024
    count = -(-MAX_QUEUED_BYTES // big)
    filled = window(*(row(n, big) for n in range(1, count + 1)))
    filled.offer(row(count + 1, big))
    assert not filled.complete


class WindowAgainstStore(RuleBasedStateMachine):
    """Posting, reading, sending, receipts and lost links in any order: each row is sent, in the end all are gone."""

    def __init__(self) -> None:
        super().__init__()
        self.window = Window()
        self.counter = itertools.count(1)
        self.stored: dict[bytes, Outgoing] = {}
        self.flying: set[bytes] = set()
        self.reading: tuple[list[Outgoing], int] | None = None
        self.now = T

    @rule(ahead=st.lists(st.booleans(), min_size=1, max_size=5))
    def post(self, ahead: list[bool]) -> None:
        for each in ahead:
            posted = replace(row(next(self.counter)), ahead=each)
            self.stored[posted.id] = posted
            self.window.offer(posted)

    @precondition(lambda self: self.reading is None and self.window.wants_more)
    @rule()
    def begin_to_read(self) -> None:
        page = [each for each in self.stored.values() if each.n > self.window.last][:3]
        self.reading = page, self.window.missed

    @precondition(lambda self: self.reading is not None)
    @rule()
    def end_to_read(self) -> None:
        assert self.reading is not None
        page, missed = self.reading
        self.reading = None
        self.window.refill(page, end=not page and self.window.missed == missed)

    @rule(credit=st.integers(0, 200))
    def send(self, credit: int) -> None:
        batch = self.window.take(credit, self.now)
        assert sum(len(each.raw) for each in batch) <= credit
        assert not self.flying & {each.id for each in batch}, "nothing is in flight twice"
        assert places(batch) == sorted(places(batch))
        self.flying |= {each.id for each in batch}

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def receipt(self, data: st.DataObject) -> None:
        some = data.draw(st.lists(st.sampled_from(sorted(self.flying)), unique=True))
        assert sorted(self.window.receipted(some)) == sorted(some)
        self.flying -= set(some)
        for each in some:
            del self.stored[each]

    @rule()
    def lose_the_link(self) -> None:
        self.window.link_lost()
        self.flying.clear()

    @rule(passed=st.integers(0, RESEND_AFTER))
    def wait(self, passed: int) -> None:
        self.now += passed
        late = self.window.next_resend()
        self.window.resend(self.now)
        if late is not None and late <= self.now:
            self.flying = set(self.window._flight)

    @invariant()
    def nothing_is_forgotten(self) -> None:
        known = {each.id for each in self.window._queue} | set(self.window._flight)
        if self.window.complete:
            assert known == set(self.stored)
        assert self.window._queued_bytes == sum(len(each.raw) for each in self.window._queue)
        assert places(self.window._queue) == sorted(places(self.window._queue))

    def teardown(self) -> None:
        self.window.link_lost()
        for _ in range(1_000):
            if self.window.wants_more:
                page = [each for each in self.stored.values() if each.n > self.window.last]
                self.window.refill(page, end=not page)
            for each in self.window.take(PLENTY, self.now):
                self.window.receipted([each.id])
                del self.stored[each.id]
            if not self.stored:
                return
        raise AssertionError(f"never sent: {list(self.stored)}")


TestWindowAgainstStore = WindowAgainstStore.TestCase
TestWindowAgainstStore.settings = settings(max_examples=60, deadline=None)


@settings(deadline=None)
@given(st.lists(st.integers(1, 400 * 1024), min_size=1, max_size=80), st.integers(0, 10**6))
def test_a_batch_keeps_its_bounds(sizes: list[int], credit: int) -> None:
    filled = window(*(row(n, size) for n, size in enumerate(sizes, 1)))
    batch = filled.take(credit, T)
    total = sum(len(each.raw) for each in batch)
    assert total <= credit and len(batch) <= MAX_BATCH
    assert total <= MAX_BATCH_BYTES or len(batch) == 1

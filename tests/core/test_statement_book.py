"""Two books of statements: what one lacks is found for few bytes, however the chains stand, and all is bounded."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.errors import Code, PeerFault
from relay.core.statement_book import (
    BLOCK,
    MARK_BYTES,
    MAX_BLOCKS,
    MAX_MARKS,
    MAX_WANTED,
    PIECE_BYTES,
    SUM_BYTES,
    StatementBook,
    checked_head,
    checked_marks,
    checked_statements,
    checked_sums,
)

Placed = tuple[int, int]  # the place in a chain, and which of those that share it: a fork, or another signer's


def filled(places: set[Placed] | list[Placed]) -> StatementBook:
    book = StatementBook()
    for seq, which in places:
        raw = f"{seq} {which} ".encode().ljust(290, b"x")
        book.put(hashlib.sha256(raw).digest(), seq, raw)
    return book


def take(to: StatementBook, source: StatementBook) -> list[bytes]:
    """One fetches from the other; what it got."""
    marks = checked_marks(b"".join(source.marks_beside(checked_sums(to.sums))))
    got = []
    while lacking := to.lacking(marks):
        raws = source.named(lacking[:MAX_WANTED])
        assert raws
        for raw in raws:
            to.put(hashlib.sha256(raw).digest(), int(raw.split()[0]), raw)
        got += raws
    return got


PLACES = st.sets(st.tuples(st.integers(1, 300), st.integers(0, 2)), max_size=200)


@settings(max_examples=200, deadline=None)
@given(PLACES, PLACES)
def test_each_fetches_what_it_lacks_and_that_alone(here: set[Placed], there: set[Placed]) -> None:
    """Whatever is forked, missing in between, or of another signer."""
    one, other = filled(here), filled(there)
    assert len(take(one, other)) == len(there - here)
    assert len(take(other, one)) == len(here - there)
    assert one.sums == other.sums == filled(here | there).sums
    assert one.marks_beside(other.sums) == []


def test_one_that_is_missing_costs_its_block_alone() -> None:
    chain = [(seq, 0) for seq in range(1, 1_001)]
    one, other = filled(chain[:-1]), filled(chain)
    assert len(one.sums) == SUM_BYTES * -(-1_000 // BLOCK)
    assert 0 < len(other.marks_beside(one.sums)) <= BLOCK
    assert len(take(one, other)) == 1


def test_first_places_come_first_so_that_no_gap_comes_up_between_pieces() -> None:
    whole = filled([(seq, 0) for seq in range(1, 601)])
    raws = take(StatementBook(), whole)
    assert [int(raw.split()[0]) for raw in raws] == list(range(1, 601))


def test_one_answer_is_bounded_and_asking_again_gets_the_rest() -> None:
    whole = filled([(seq, which) for seq in range(1, 8_001) for which in (0, 1)])
    fresh = StatementBook()
    assert len(whole.marks_beside(b"")) == MAX_MARKS
    assert len(take(fresh, whole)) == MAX_MARKS
    assert len(take(fresh, whole)) == 16_000 - MAX_MARKS
    assert fresh.sums == whole.sums


def test_one_piece_is_bounded_in_bytes() -> None:
    book = StatementBook()
    for seq in range(1, MAX_WANTED + 1):
        raw = b"%d " % seq + b"x" * 1_100
        book.put(hashlib.sha256(raw).digest(), seq, raw)
    piece = book.named(book.marks_beside(b""))
    assert 0 < len(piece) < MAX_WANTED and sum(map(len, piece)) <= PIECE_BYTES


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (checked_head, b"x" * 31),
        (checked_head, "x" * 32),
        (checked_sums, b"x" * 15),
        (checked_sums, b"x" * SUM_BYTES * (MAX_BLOCKS + 1)),
        (checked_sums, [b"x" * SUM_BYTES]),
        (checked_marks, b"x" * 15),
        (checked_marks, b"x" * MARK_BYTES * (MAX_MARKS + 1)),
        (checked_marks, None),
        (checked_statements, b"x"),
        (checked_statements, [1]),
        (checked_statements, [b"x"] * (MAX_WANTED + 1)),
    ],
)
def test_what_is_of_another_form_is_refused(check: Any, value: object) -> None:
    with pytest.raises(PeerFault) as caught:
        check(value)
    assert caught.value.code is Code.BAD_ENVELOPE


def test_one_thing_said_twice_counts_once() -> None:
    assert checked_marks(b"x" * MARK_BYTES * 5) == [b"x" * MARK_BYTES]
    assert checked_statements([b"x", b"x"]) == [b"x"]

import hashlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core import ids, record_book
from relay.core.allowance import Allowance
from relay.core.errors import Code, PeerFault
from relay.core.ids import BrokerId
from relay.core.record_book import FANOUT, Book, Held
from relay.core.records import MAX_LINKED, Record

NOW = 1_800_000_000_000
KEYS = [hashlib.sha256(bytes([at])).digest() for at in range(60)]
MEMBERS = [ids.broker_id(key) for key in KEYS]


def held(at: int, incarnation: int = 1, seq: int = 1, *, heard: int = NOW, **said: Any) -> Held:
    record = Record(KEYS[at], bytes(32), incarnation, seq, NOW, said.pop("expires", NOW + 1_000), **said)
    raw = repr(record).encode()
    return Held(record, raw, hashlib.sha256(raw).digest(), heard)


def filled(*what: Held) -> Book:
    book = Book()
    for each in what:
        book.put(each)
    return book


AGES = st.dictionaries(st.integers(0, 39), st.tuples(st.integers(1, 3), st.integers(1, 3)), max_size=40)


@settings(max_examples=200, deadline=None)
@given(AGES, AGES)
def test_two_books_are_brought_together(here: dict[int, tuple[int, int]], there: dict[int, tuple[int, int]]) -> None:
    one = filled(*(held(at, *age) for at, age in here.items()))
    other = filled(*(held(at, *age) for at, age in there.items()))
    assert (one.root == other.root) is (here == there)
    buckets = one.differing(other.sums)
    newer, wanted = other.compare(buckets, one.entries(buckets))
    given_, taken = [other.get(each) for each in newer], [one.get(each) for each in one.named(wanted)]
    for book, moved in ((one, given_), (other, taken)):
        for each in moved:
            assert each is not None
            before = book.get(each.record.id)
            assert before is None or before.record.age < each.record.age
            book.put(each)
    assert one.root == other.root and one.sums == other.sums
    assert len(one) == len(here.keys() | there.keys())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.booleans()), max_size=60))
def test_sums_depend_on_what_is_held_alone(steps: list[tuple[int, int, bool]]) -> None:
    book = Book()
    for at, seq, stays in steps:
        if stays:
            book.put(held(at, 1, seq))
        else:
            book.drop(MEMBERS[at])
    assert filled(*book.all()).root == book.root


def test_an_expired_record_goes() -> None:
    book = filled(held(0, expires=NOW + 5), held(1))
    assert book.expire(NOW + 4) == [] and book.expire(NOW + 5) == [MEMBERS[0]]
    assert book.root == filled(held(1)).root and not book.drop(MEMBERS[0])


def test_what_routing_asks() -> None:
    book = filled(
        held(0, always_on=True, linked=(MEMBERS[1], MEMBERS[2])),
        held(1, linked=(MEMBERS[0], MEMBERS[3])),
        held(2, linked=tuple(MEMBERS[20 : 20 + MAX_LINKED])),
    )
    assert book.always_on() == [MEMBERS[0]]
    assert book.linked_to(MEMBERS[1]) == [MEMBERS[0], MEMBERS[3]]
    assert book.linked_to(MEMBERS[50]) == [MEMBERS[2]] and book.linked_to(MEMBERS[4]) == []
    assert book.are_linked(MEMBERS[0], MEMBERS[1]) is True
    assert book.are_linked(MEMBERS[3], MEMBERS[1]) is True
    assert book.are_linked(MEMBERS[0], MEMBERS[3]) is False
    assert book.are_linked(MEMBERS[2], MEMBERS[4]) is None
    assert book.are_linked(MEMBERS[4], MEMBERS[5]) is None


def test_a_word_older_than_the_goodbye_is_not_believed() -> None:
    """But one that was heard since: it woke, and told somebody else first."""
    one, hub = MEMBERS[1], MEMBERS[0]
    book = filled(held(0, linked=(one,)))
    assert book.believed(one) == [hub] and book.believed(one, NOW - 1) == [hub]
    assert book.believed(one, NOW) == [] and book.linked_to(one) == [hub]
    book.put(held(0, seq=2, linked=(one,), heard=NOW + 5))
    assert book.believed(one, NOW) == [hub]
    # its own word counts as well
    own = filled(held(0, linked=(one,)), held(1, linked=(hub,), heard=NOW + 5))
    assert own.believed(one, NOW) == [hub] and own.believed(one, NOW + 5) == []
    assert own.believed(MEMBERS[9]) == []


def test_who_ceases_to_name_a_link_is_believed_rather_than_the_other_s_older_word() -> None:
    one, hub, others = MEMBERS[1], MEMBERS[0], tuple(MEMBERS[20 : 20 + MAX_LINKED])
    book = filled(held(1, linked=(hub,)), held(0, linked=(one, *others[1:])))
    assert book.believed(one) == [hub]
    # its list is cut, so that the one that is missing in it may have had to make room: routing still tries that way
    book.put(held(0, seq=2, linked=others, heard=NOW + 5))
    assert book.linked_to(one) == [hub] and book.believed(one) == []
    book.put(held(0, seq=3, linked=others, heard=NOW + 6))
    assert book.believed(one) == []
    book.put(held(1, seq=2, linked=(hub,), heard=NOW + 9))
    assert book.believed(one) == [hub]
    # and the other way round: it says itself that it is not linked with the hub any more
    book.put(held(0, seq=4, linked=(one,), heard=NOW + 10))
    book.put(held(1, seq=3, heard=NOW + 11))
    assert book.believed(one) == [] and book.linked_to(one) == [hub]


def test_what_is_no_longer_said_is_bounded_and_goes_with_the_record() -> None:
    book = Book()
    for seq in range(1, 300):
        book.put(held(0, seq=seq, linked=tuple(MEMBERS[1 + seq % 50 : 3 + seq % 50])))
    assert len(book._unsaid[MEMBERS[0]]) <= record_book.MAX_UNSAID
    book.drop(MEMBERS[0])
    assert book._unsaid == {}


def first(peers: list[BrokerId], most: int) -> list[BrokerId]:
    return peers[:most]


def test_who_has_it_from_elsewhere_is_not_told_again() -> None:
    owner, source, peers = MEMBERS[0], MEMBERS[1], MEMBERS[2:10]
    few = filled(held(0, linked=(source, MEMBERS[2])), held(1, linked=(owner, MEMBERS[3])))
    assert few.onward(owner, source, [owner, source, *peers], first) == peers[2:]
    # lists that are cut say nothing of who is missing in them: a few are told, and the rest compares books
    many = tuple(MEMBERS[20 : 20 + MAX_LINKED])
    dense = filled(held(0, linked=many), held(1, linked=many))
    assert dense.onward(owner, source, [*peers, *many], first) == peers[:FANOUT]
    # but who says all its links, and these two are not among them, has it from nobody
    alone = filled(held(0, linked=many), held(1, linked=many), held(5, linked=(MEMBERS[9],)))
    assert MEMBERS[5] in alone.onward(owner, source, peers, lambda some, most: [])


@pytest.mark.parametrize(
    ("check", "good", "wrong"),
    [
        (record_book.checked_root, bytes(16), [b"", "x" * 16, None]),
        (record_book.checked_sums, bytes(512), [bytes(511), 5]),
        (record_book.checked_buckets, [0, 63], [[64], [-1], [True], "x", [0] * 65]),
        (record_book.checked_entries, [[bytes(8), 1, 2]], [[[bytes(8), 1]], [[bytes(7), 1, 2]], [[bytes(8), 1, -1]]]),
        (record_book.checked_prefixes, [bytes(8)], [[b""], ["x" * 8], [bytes(8)] * 5_000, None]),
    ],
)
def test_steps_are_checked(check: Any, good: Any, wrong: list[Any]) -> None:
    assert len(check(good)) == len(good)
    for value in wrong:
        with pytest.raises(PeerFault) as caught:
            check(value)
        assert caught.value.code is Code.BAD_RECORD


def test_an_allowance_comes_back() -> None:
    allowance = Allowance(10, 2, 0)
    assert allowance.spend(10, 0) and not allowance.spend(1, 400)
    assert allowance.spend(1, 500) and not allowance.spend(1, 500)
    assert allowance.spend(10, 60_000) and not allowance.spend(1, 0)
    allowance.resize(4, 1)
    assert allowance.spend(4, 120_000) and not allowance.spend(5, 900_000)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 20), st.integers(0, 5_000)), max_size=50))
def test_nobody_spends_more_than_there_is(steps: list[tuple[float, int]]) -> None:
    allowance, now, spent = Allowance(10, 2, 0), 0, 0.0
    for cost, passes in steps:
        now += passes
        spent += cost if allowance.spend(cost, now) else 0
    assert spent <= 10 + now / 1000 * 2 + 1e-6


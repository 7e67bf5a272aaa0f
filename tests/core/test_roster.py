import dataclasses
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core import ids
from relay.core.errors import PeerFault
from relay.core.roster import Roster, fold
from relay.core.statements import (
    FIRST_PREVIOUS,
    MAX_STATEMENTS,
    Member,
    Statement,
    StatementKind,
    pack_statement,
    unpack_statement,
)
from relay.core.wire import pack, unpack

WORKSPACE = "a" * 26
ROOT, ONE, TWO = (bytes([byte]) * 32 for byte in (1, 2, 3))


def broker(public: bytes) -> ids.BrokerId:
    return ids.broker_id(public)


def packed(statement: Statement) -> Statement:
    return unpack_statement(pack_statement(statement))


class Chain:
    """A signer that writes one statement after another, signatures left out."""

    def __init__(self, signer: bytes = ROOT) -> None:
        self.signer, self.tip, self.made = signer, FIRST_PREVIOUS, list[Statement]()

    def say(self, kind: StatementKind, subject: bytes, **extra: Any) -> Statement:
        seq = len(self.made) + 1
        draft = Statement(kind, WORKSPACE, broker(self.signer), seq, self.tip, seq, broker(subject), **extra)
        statement = packed(draft)
        self.made.append(statement)
        self.tip = statement.hash
        return statement

    def admit(self, subject: bytes, name: str = "machine", cites: bytes = b"") -> Statement:
        member = Member(broker(subject), subject, b"\x09" * 32, name, len(self.made) + 1)
        return self.say(StatementKind.ADMIT, subject, member=member, cites=cites)

    def evict(self, subject: bytes) -> Statement:
        return self.say(StatementKind.EVICT, subject, reason="lost")


def rooted() -> Chain:
    chain = Chain()
    chain.admit(ROOT)
    return chain


def names(roster: Roster) -> set[ids.BrokerId]:
    return set(roster.members)


def test_an_empty_roster_has_nobody() -> None:
    roster = fold(ROOT, [])
    assert (roster.members, roster.seq, roster.tip, roster.forked) == ({}, 0, FIRST_PREVIOUS, False)


def test_admitted_and_evicted() -> None:
    chain = rooted()
    chain.admit(ONE, "laptop")
    chain.admit(TWO)
    evict = chain.evict(TWO)
    roster = fold(ROOT, chain.made)
    assert names(roster) == {broker(ROOT), broker(ONE)}
    assert roster.members[broker(ONE)] == Member(broker(ONE), ONE, b"\x09" * 32, "laptop", 2)
    assert roster.evicted == {broker(TWO): evict.hash}
    assert (roster.seq, roster.tip) == (4, evict.hash)


def test_any_order_and_any_repetition_give_the_same_roster() -> None:
    chain = rooted()
    for byte in range(10, 20):
        chain.admit(bytes([byte]) * 32)
    chain.evict(b"\x0b" * 32)
    expected = fold(ROOT, chain.made)
    for seed in range(50):
        mixed = chain.made * 2
        random.Random(seed).shuffle(mixed)
        assert fold(ROOT, mixed) == expected


def test_a_gap_ends_the_chain() -> None:
    chain = rooted()
    chain.admit(ONE)
    chain.admit(TWO)
    roster = fold(ROOT, [chain.made[0], chain.made[2]])
    assert names(roster) == {broker(ROOT)} and not roster.forked


def test_a_forked_chain_counts_up_to_the_fork_in_any_order() -> None:
    one, two = rooted(), rooted()
    one.admit(ONE)
    one.admit(TWO)
    two.admit(TWO)
    both = one.made + two.made
    for order in (both, both[::-1]):
        roster = fold(ROOT, order)
        assert roster.forked and roster.seq == 1 and names(roster) == {broker(ROOT)}
    assert fold(ROOT, one.made).head != fold(ROOT, both).head


def test_another_signers_statements_are_ignored() -> None:
    stranger = Chain(ONE)
    stranger.admit(ONE)
    stranger.admit(TWO)
    assert fold(ROOT, [*rooted().made, *stranger.made]) == fold(ROOT, rooted().made)


def test_the_creator_is_admitted_first_and_never_evicted() -> None:
    early = Chain()
    early.admit(ONE)
    assert fold(ROOT, early.made).members == {}
    chain = rooted()
    chain.evict(ROOT)
    assert names(fold(ROOT, chain.made)) == {broker(ROOT)}


def test_readmission_must_cite_the_evict() -> None:
    chain = rooted()
    chain.admit(ONE)
    evict = chain.evict(ONE)
    chain.admit(ONE)
    assert broker(ONE) not in fold(ROOT, chain.made).members
    chain.admit(ONE, cites=evict.hash)
    roster = fold(ROOT, chain.made)
    assert broker(ONE) in roster.members and roster.evicted == {}
    chain.evict(ONE)
    chain.admit(ONE, cites=evict.hash)  # the old evict, not the last one
    assert broker(ONE) not in fold(ROOT, chain.made).members


def test_a_second_admission_renews_the_record() -> None:
    chain = rooted()
    chain.admit(ONE, "old")
    chain.admit(ONE, "new")
    assert fold(ROOT, chain.made).members[broker(ONE)].name == "new"


PARTS: list[Any] = unpack(rooted().made[0].content, 1024)


def changed(at: int, value: object) -> bytes:
    return pack([value if index == at else part for index, part in enumerate(PARTS)])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        pack(None),
        pack(PARTS[:-1]),
        changed(0, 2),
        changed(0, True),
        changed(1, "crown"),
        changed(2, "short"),
        changed(2, "é" * 26),
        changed(3, bytes(31)),
        changed(4, 0),
        changed(4, MAX_STATEMENTS + 1),
        changed(5, b""),
        changed(6, -1),
        changed(7, bytes(32)),  # the subject is not the admitted key
        changed(8, []),
        changed(8, [ROOT, bytes(32), "Bad Name", b""]),
        changed(8, [ROOT, bytes(32), "name", b"x"]),
        pack(PARTS).replace(b"\x01\xa5admit", b"\xcc\x01\xa5admit"),  # 1 in two bytes
    ],
)
def test_other_forms_are_refused(content: bytes) -> None:
    with pytest.raises(PeerFault):
        unpack_statement(content)


def test_an_evicts_reason_is_bounded() -> None:
    statement = rooted().evict(ONE)
    with pytest.raises(PeerFault):
        packed(dataclasses.replace(statement, reason="x" * 300))


VALUES = st.none() | st.integers(0, 99) | st.lists(st.binary())


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=300) | st.builds(changed, st.integers(0, 8), VALUES))
def test_only_a_peer_fault_escapes(content: bytes) -> None:
    try:
        unpack_statement(content)
    except PeerFault:
        pass

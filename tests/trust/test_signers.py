"""Several signers: whatever they do, apart or together, honest or not, everybody comes to the same roster."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.errors import Code, Misuse, Refused, RelayError
from relay.core.ids import BrokerId
from relay.core.roster import MAX_PROMOTED_STATEMENTS, Roster, Seat, fold, read
from relay.core.roster_intake import put_out, take
from relay.core.statements import Cut, Statement, StatementKind, pack_statement, unpack_statement
from relay.trust.identity import Identity
from relay.trust.roster import UnknownSigner, admit, demote, evict, promote, verify_statement, verify_statements
from relay.trust.signing import signed_block

from .seeds import HOME, LAPTOP, NOW, ROOT, STRANGER, VPS, member

MINI = Identity.create(b"\x21" * 32, b"\x22" * 32)
DESK = Identity.create(b"\x23" * 32, b"\x24" * 32)
EVERYBODY = (ROOT, LAPTOP, VPS, MINI, DESK, STRANGER)


class Side:
    """What one machine knows, and what it signs by that."""

    def __init__(self, *known: Statement) -> None:
        self.known = {each.hash: each for each in known}

    @property
    def roster(self) -> Roster:
        return fold(ROOT.public, self.known.values())

    def hear(self, *others: Side) -> None:
        for other in others:
            self.known |= other.known

    def keep(self, made: Statement) -> Statement:
        self.known[made.hash] = made
        return made

    def admit(self, signer: Identity, whom: Identity, name: str = "machine") -> Statement:
        return self.keep(admit(signer, HOME, self.roster, member(whom, name), NOW))

    def promote(self, signer: Identity, whom: Identity) -> Statement:
        return self.keep(promote(signer, HOME, self.roster, whom.id, NOW))

    def demote(self, signer: Identity, whom: Identity) -> Statement:
        return self.keep(demote(signer, HOME, self.roster, whom.id, NOW, "why"))

    def evict(self, signer: Identity, whom: Identity) -> Statement:
        return self.keep(evict(signer, HOME, self.roster, whom.id, NOW, "lost"))


def begun(*admitted: Identity) -> Side:
    side = Side()
    for whom in (ROOT, *admitted):
        side.admit(ROOT, whom)
    return side


def together(*sides: Side) -> Roster:
    """All that the sides know."""
    one = Side()
    one.hear(*sides)
    return one.roster


def parted(side: Side, count: int = 2) -> list[Side]:
    """So many machines that know the same and hear nothing of one another from now on."""
    return [Side(*side.known.values()) for _ in range(count)]


def bent(statement: Statement, identity: Identity, **changes: object) -> Statement:
    """A statement with something else in it, signed whatever it says."""
    content = pack_statement(dataclasses.replace(statement, signer=identity.id, **changes))  # type: ignore[arg-type]
    return unpack_statement(content, signed_block(identity, b"relay-statement/1", content))


# what a person would do


def test_a_promoted_signer_admits_evicts_and_promotes() -> None:
    side = begun(LAPTOP)
    side.promote(ROOT, LAPTOP)
    side.admit(LAPTOP, VPS)
    side.promote(LAPTOP, VPS)
    side.admit(VPS, MINI)
    roster = side.roster
    assert set(roster.members) == {each.id for each in (ROOT, LAPTOP, VPS, MINI)}
    assert roster.signers == [ROOT.id, LAPTOP.id, VPS.id]
    assert [seat.above for seat in roster.seats] == [(), (0,), (0, 1)]
    side.evict(LAPTOP, MINI)
    assert MINI.id not in side.roster.members
    side.admit(ROOT, MINI)
    assert MINI.id in side.roster.members and not side.roster.evicted


def test_what_is_signed_beyond_the_cut_falls_with_all_that_rests_on_it() -> None:
    side = begun(LAPTOP, DESK)
    side.promote(ROOT, LAPTOP)
    side.admit(LAPTOP, VPS)
    root, laptop = parted(side)
    root.demote(ROOT, LAPTOP)
    laptop.promote(LAPTOP, DESK)
    laptop.admit(DESK, MINI)
    assert MINI.id in laptop.roster.members
    roster = together(root, laptop)
    assert roster.signers == [ROOT.id]
    assert VPS.id in roster.members and MINI.id not in roster.members


def test_whom_it_promoted_before_the_cut_goes_on_to_sign() -> None:
    side = begun(LAPTOP, DESK)
    side.promote(ROOT, LAPTOP)
    side.promote(LAPTOP, DESK)
    side.evict(ROOT, LAPTOP)
    side.admit(DESK, MINI)
    assert side.roster.signers == [ROOT.id, DESK.id] and MINI.id in side.roster.members
    assert LAPTOP.id not in side.roster.members


def test_only_itself_or_one_above_demotes_or_evicts_a_signer() -> None:
    side = begun(LAPTOP, VPS)
    side.promote(ROOT, LAPTOP)
    side.promote(ROOT, VPS)
    for ruling in (side.demote, side.evict):
        with pytest.raises(Refused) as caught:
            ruling(LAPTOP, VPS)
        assert caught.value.code is Code.NOT_A_SIGNER
        with pytest.raises(Misuse):
            ruling(LAPTOP, ROOT)
    # and where it signs it all the same, that has no effect
    seat = side.roster.seats[1]
    for kind in (StatementKind.DEMOTE, StatementKind.EVICT):
        for whom in (VPS, ROOT):
            cut = (Cut(side.roster.seats[2].promotion, 0, side.roster.seats[2].promotion),)
            said = Statement(kind, HOME.id, LAPTOP.id, seat.seq + 1, seat.tip, NOW, whom.id, reason="x", cuts=cut)
            roster = together(side, Side(bent(said, LAPTOP)))
            assert roster.signers == side.roster.signers and roster.members == side.roster.members
    side.demote(VPS, VPS)
    assert side.roster.signers == [ROOT.id, LAPTOP.id] and VPS.id in side.roster.members


def test_a_demoted_signer_may_be_promoted_again_and_begins_anew() -> None:
    side = begun(LAPTOP)
    side.promote(ROOT, LAPTOP)
    side.admit(LAPTOP, VPS)
    (rogue,) = parted(side, 1)
    side.demote(ROOT, LAPTOP)
    with pytest.raises(Refused):
        side.admit(LAPTOP, MINI)
    rogue.admit(LAPTOP, DESK)
    side.promote(ROOT, LAPTOP)
    side.admit(LAPTOP, MINI)
    roster = together(side, rogue)
    assert {VPS.id, MINI.id} < set(roster.members) and DESK.id not in roster.members


# contrary acts of two that cannot hear one another


def test_an_evict_holds_against_an_admission_that_does_not_know_of_it() -> None:
    side = begun(LAPTOP, VPS)
    side.promote(ROOT, LAPTOP)
    root, laptop = parted(side)
    root.evict(ROOT, VPS)
    laptop.admit(LAPTOP, VPS, "renamed")
    assert VPS.id not in together(root, laptop).members
    laptop.hear(root)
    laptop.admit(LAPTOP, VPS, "renamed")
    assert laptop.roster.members[VPS.id].name == "renamed"


def test_of_two_evicts_both_have_to_be_undone() -> None:
    side = begun(LAPTOP, VPS)
    side.promote(ROOT, LAPTOP)
    root, laptop = parted(side)
    root.evict(ROOT, VPS)
    laptop.evict(LAPTOP, VPS)
    root.admit(ROOT, VPS)
    assert VPS.id in root.roster.members and VPS.id not in together(root, laptop).members
    root.hear(laptop)
    assert len(root.admit(ROOT, VPS).cited) == 1 and VPS.id in root.roster.members


def test_a_demotion_holds_against_a_promotion_that_does_not_know_of_it() -> None:
    side = begun(LAPTOP, VPS)
    side.promote(ROOT, LAPTOP)
    side.promote(LAPTOP, VPS)
    side.demote(LAPTOP, VPS)
    root, laptop = parted(side)
    laptop.promote(LAPTOP, VPS)
    root.promote(ROOT, VPS)
    root.demote(ROOT, VPS)
    laptop.admit(VPS, MINI)
    roster = together(root, laptop)
    assert VPS.id not in roster.signers and MINI.id not in roster.members


def test_two_names_at_once_are_the_one_of_the_signer_nearer_the_root() -> None:
    side = begun(LAPTOP, VPS)
    side.promote(ROOT, LAPTOP)
    root, laptop = parted(side)
    root.admit(ROOT, VPS, "of-root")
    laptop.admit(LAPTOP, VPS, "of-laptop")
    assert together(root, laptop).members[VPS.id].name == "of-root"
    laptop.hear(root)
    laptop.admit(LAPTOP, VPS, "later")
    assert laptop.roster.members[VPS.id].name == "later"


def test_no_signer_further_down_puts_another_sealing_key_in_the_place_of_a_members() -> None:
    side = begun(LAPTOP, VPS)
    side.promote(ROOT, LAPTOP)
    false = dataclasses.replace(member(VPS), sealing_public=LAPTOP.sealing.public)
    side.keep(admit(LAPTOP, HOME, side.roster, false, NOW))
    assert side.roster.members[VPS.id].sealing_public == VPS.sealing.public


def test_promoting_in_a_circle_gives_no_power_over_those_above() -> None:
    side = begun(LAPTOP, VPS)
    side.promote(ROOT, LAPTOP)
    side.promote(LAPTOP, VPS)
    seat = side.roster.seats[2]
    back = Statement(StatementKind.PROMOTE, HOME.id, VPS.id, 1, seat.tip, NOW, LAPTOP.id, member(LAPTOP))
    side.keep(bent(back, VPS))
    assert len(side.roster.seats) == 4
    ruled = Statement(StatementKind.EVICT, HOME.id, VPS.id, 2, bent(back, VPS).hash, NOW, LAPTOP.id, reason="x")
    side.keep(bent(ruled, VPS))
    assert LAPTOP.id in side.roster.members and LAPTOP.id in side.roster.signers
    side.demote(ROOT, LAPTOP)
    assert side.roster.signers == [ROOT.id, VPS.id]


def test_a_fork_ends_the_chain_of_that_signer_alone() -> None:
    side = begun(LAPTOP, VPS)
    side.promote(ROOT, LAPTOP)
    side.promote(ROOT, VPS)
    one, other = parted(side)
    one.admit(LAPTOP, MINI)
    other.admit(LAPTOP, DESK)
    one.hear(other)
    assert {MINI.id, DESK.id}.isdisjoint(one.roster.members) and one.roster.seats[1].forked
    with pytest.raises(RelayError) as caught:
        one.admit(LAPTOP, MINI)
    assert caught.value.code is Code.ROSTER_CLOSED
    one.admit(VPS, MINI)
    one.demote(ROOT, LAPTOP)
    one.promote(ROOT, LAPTOP)
    one.admit(LAPTOP, DESK)
    assert {MINI.id, DESK.id} < set(one.roster.members)


def test_a_grant_ends_with_an_evict_that_was_undone_and_with_none_that_does_not_hold() -> None:
    side = begun(LAPTOP, VPS)
    side.promote(ROOT, LAPTOP)
    asleep = list(side.known.values())

    def gone(heard: Side) -> set[BrokerId]:
        return put_out(take(ROOT.public, asleep, heard.known.values()))

    assert gone(side) == set()
    (back, promoted) = parted(side)
    back.evict(LAPTOP, VPS)
    assert gone(back) == {VPS.id}
    # who slept through both words hears of an evict that no longer holds
    back.admit(ROOT, VPS)
    assert gone(back) == {VPS.id}
    back.promote(ROOT, VPS)
    assert gone(back) == {VPS.id}
    # of one that has never held nothing follows, nor where its signer itself has undone it
    promoted.promote(ROOT, VPS)
    seat = promoted.roster.seats[1]
    said = Statement(StatementKind.EVICT, HOME.id, LAPTOP.id, seat.seq + 1, seat.tip, NOW, VPS.id, reason="x")
    evicted = promoted.keep(bent(said, LAPTOP))
    assert VPS.id in promoted.roster.members and gone(promoted) == set()
    again = Statement(
        StatementKind.ADMIT, HOME.id, LAPTOP.id, evicted.seq + 1, evicted.hash, NOW, VPS.id, member(VPS), evicted.hash
    )
    promoted.keep(bent(again, LAPTOP))
    assert gone(promoted) == set()
    # until the right to sign is gone that kept it from holding
    promoted.demote(ROOT, VPS)
    assert gone(promoted) == {VPS.id}


# what is kept


def test_of_a_strangers_statements_nothing_is_kept_nor_of_a_members() -> None:
    side = begun(LAPTOP)
    said = Statement(StatementKind.ADMIT, HOME.id, LAPTOP.id, 1, side.roster.tip, NOW, VPS.id, member(VPS))
    forged = bent(said, LAPTOP)
    with pytest.raises(UnknownSigner):
        verify_statement(HOME, forged.raw)
    verified, unknown = verify_statements(HOME, [forged.raw, *(each.raw for each in side.known.values())])
    assert unknown == [forged.raw] and len(verified) == 2
    # nor where its key is known, from a promotion that does not count
    taken = take(ROOT.public, side.known.values(), [forged])
    assert not taken.added and not taken.is_missing


def flood(promotion: Statement, forks: int) -> list[Statement]:
    """More statements than may be kept, and many that fork the chain in each place."""
    made: list[Statement] = []
    previous = promotion.hash
    for seq in range(1, 40):
        for fork in range(forks):
            said = Statement(StatementKind.EVICT, HOME.id, LAPTOP.id, seq, previous, NOW + fork, VPS.id, reason="x")
            made.append(bent(said, LAPTOP))
        previous = made[-forks].hash
    return made


def test_a_signer_that_forks_without_end_fills_nothing() -> None:
    side = begun(LAPTOP)
    promotion = side.promote(ROOT, LAPTOP)
    offered = flood(promotion, 5)
    orders = [offered, offered[::-1], random.Random(3).sample(offered, len(offered))]
    rosters = []
    for order in orders:
        held = list(side.known.values())
        for at in range(0, len(order), 7):
            held += take(ROOT.public, held, order[at : at + 7]).added
        for _ in range(40):
            held += take(ROOT.public, held, order).added
        assert len(held) <= len(side.known) + 2 * 40
        rosters.append(fold(ROOT.public, held))
    assert rosters[0] == rosters[1] == rosters[2] == fold(ROOT.public, [*side.known.values(), *offered])


def test_a_promoted_chain_is_bounded() -> None:
    assert Seat(LAPTOP.id, b"x" * 32, (0,)).most == MAX_PROMOTED_STATEMENTS < Seat(ROOT.id).most


# anything at all, in any order

# few act on few, so that they meet; and often several on one, who do not hear of one another
VERBS = ["admit", "evict", "promote", "demote"]
STEP = st.tuples(st.integers(0, 3), st.sampled_from(VERBS), st.integers(1, 4))
HEAR = st.tuples(st.integers(0, 3), st.just("hear"), st.integers(0, 3))
BEND = st.tuples(st.integers(1, 5), st.sampled_from(["bend", "fork"]), st.integers(0, 5))
ACT = st.tuples(st.integers(0, 2), st.sampled_from([*VERBS, "signs"]))
PLOT = st.tuples(st.lists(ACT, min_size=3, max_size=6), st.integers(2, 4)).map(
    lambda plot: [(who, verb, plot[1]) for who, verb in plot[0]]
)
STEPS = st.lists((STEP | STEP | STEP | HEAR | BEND).map(lambda step: [step]) | PLOT, min_size=5, max_size=20)


def act(sides: list[Side], step: tuple[int, str, int], rng: random.Random) -> None:
    who, verb, whom = step
    side, signer, subject = sides[who], EVERYBODY[who], EVERYBODY[whom]
    if verb == "hear":
        side.hear(sides[whom])
    elif verb == "signs":  # by what this side knows
        sides[whom].hear(side)
        act(sides, (whom, "admit", 5), rng)
    elif verb in ("bend", "fork"):
        known = sorted(side.known.values(), key=lambda each: each.hash)
        after = rng.choice(known)
        kind = rng.choice(list(StatementKind))
        record = member(subject, "bent") if kind in (StatementKind.ADMIT, StatementKind.PROMOTE) else None
        cites = after.hash if record and rng.random() < 0.5 else b""
        seq = 1 if after.signer != signer.id else after.seq + 1
        cut = () if record or rng.random() < 0.5 else (Cut(after.hash, rng.randrange(3), after.hash),)
        said = Statement(kind, HOME.id, signer.id, seq, after.hash, NOW, subject.id, record, cites, cuts=cut)
        side.keep(bent(said, signer))
    else:
        try:
            getattr(side, verb)(signer, subject)
        except (Refused, Misuse, RelayError):
            pass


def check(root: Roster, counted: list[Statement], held: Iterable[Statement]) -> None:
    """What holds whatever was signed."""
    held = list(held)
    assert ROOT.id in root.members and ROOT.id in root.signers
    promotions = {each.hash: each for each in counted if each.kind is StatementKind.PROMOTE}
    chains: dict[bytes, bytes] = {}
    places: dict[bytes, tuple[bytes, int]] = {}
    for each in counted:
        # nothing counts but what follows from the root, step by step
        chain = each.previous if each.seq == 1 else chains[each.previous]
        assert each.signer == (promotions[chain].subject if chain in promotions else ROOT.id)
        chains[each.hash] = chain
        places[each.hash] = (chain, each.seq)
    seats = {seat.promotion: seat for seat in root.seats}
    for each in counted:
        at = [seat.promotion for seat in root.seats].index(chains[each.hash])
        if each.kind in (StatementKind.EVICT, StatementKind.DEMOTE):
            _check_ruling(root, counted, each, at, places, seats)
        # only those above put out who signs
        if any(each.hash == root.evicted[who][at : at + 32] for who in root.evicted for at in range(0, 256, 32)):
            assert all(at in root.seats[seat].above for seat in root.seats_of(each.subject))
        # and of a chain that is forked nothing counts beyond; who promotes itself goes on after that in two chains
        place = each.signer, each.seq, each.previous
        assert len({other.hash for other in held if (other.signer, other.seq, other.previous) == place}) == 1


def _check_ruling(
    root: Roster,
    counted: list[Statement],
    ruling: Statement,
    at: int,
    places: dict[bytes, tuple[bytes, int]],
    seats: dict[bytes, Seat],
) -> None:
    chain, seq = places[ruling.hash]
    undone = [
        each
        for each in counted
        if each.member is not None
        and each.subject == ruling.subject
        and any(hash_ in places and places[hash_][0] == chain and places[hash_][1] >= seq for hash_ in each.cited)
    ]
    may = ruling.subject != ROOT.id and all(at in root.seats[seat].above for seat in root.seats_of(ruling.subject))
    if ruling.kind is StatementKind.EVICT and may:
        assert ruling.subject not in root.members or undone
    for promotion, seat in seats.items():
        if seat.signer != ruling.subject or at not in seat.above:
            continue
        if promotion in {each.hash for each in undone}:
            continue
        cuts = [cut.seq for cut in ruling.cuts if cut.promotion == promotion]
        # from a ruling above that it did not know of on, it signs nothing
        assert seat.ended_by is not None and seat.seq <= min(cuts, default=0)


def settled(whole: Iterable[Statement], rng: random.Random) -> Roster:
    """What a broker comes to that is told of all in any order, some of it often, until nothing is new to it."""
    offered, held = list(whole), list[Statement]()
    rng.shuffle(offered)
    for at in range(0, len(offered), 3):
        held += take(ROOT.public, held, offered[at : at + 3]).added
    while added := take(ROOT.public, held, offered * 2).added:
        held += added
    return fold(ROOT.public, held)


@settings(max_examples=200, deadline=None)
@given(STEPS, st.randoms(use_true_random=False))
def test_every_broker_comes_to_the_same_roster(plots: list[list[tuple[int, str, int]]], rng: random.Random) -> None:
    first = begun(LAPTOP, VPS, MINI)
    first.promote(ROOT, LAPTOP)
    first.promote(ROOT, VPS)
    sides = parted(first, 6)
    for step in itertools.chain(*plots):
        act(sides, step, rng)
        who = sides[step[0]].known.values()
        check(*read(ROOT.public, who), who)
    whole = Side()
    whole.hear(*sides)
    roster, counted = read(ROOT.public, whole.known.values())
    check(roster, counted, whole.known.values())
    mixed = [*whole.known.values()] * 2
    rng.shuffle(mixed)
    assert fold(ROOT.public, mixed) == roster and fold(ROOT.public, mixed).head == roster.head
    # as sent, verified in whatever order: none is lost
    verified, _ = verify_statements(HOME, [each.raw for each in mixed])
    assert fold(ROOT.public, verified) == roster
    for _ in range(3):
        assert settled(whole.known.values(), rng) == roster
    assert not any(broker in roster.members for broker in roster.evicted)

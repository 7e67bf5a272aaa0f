"""Several signers: what they may do to one another, and what holds where they cannot hear each other."""

from __future__ import annotations

import dataclasses
import random

import pytest

from relay.core.errors import Code, Misuse, Refused, RelayError
from relay.core.ids import BrokerId
from relay.core.roster import MAX_PROMOTED_STATEMENTS, Seat, fold
from relay.core.roster_intake import put_out, take
from relay.core.statements import Cut, Statement, StatementKind
from relay.trust.roster import UnknownSigner, admit, verify_statement, verify_statements

from .seeds import HOME, LAPTOP, NOW, ROOT, VPS, member
from .sides import DESK, MINI, Side, begun, bent, parted, together

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

"""Several signers: whatever they do, apart or together, honest or not, everybody comes to the same roster."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.errors import Misuse, Refused, RelayError
from relay.core.roster import Roster, Seat, fold, read
from relay.core.roster_intake import take
from relay.core.statements import Cut, Statement, StatementKind
from relay.trust.roster import verify_statements

from .seeds import HOME, LAPTOP, NOW, ROOT, VPS, member
from .sides import EVERYBODY, MINI, Side, begun, bent, parted

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

"""What one more statement costs beside many: each broker pays it at each admission, of a thousand members too."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

from relay.core import ids
from relay.core.roster_intake import take
from relay.core.statements import FIRST_PREVIOUS, Member, Statement, StatementKind, pack_statement, unpack_statement

MEMBERS = 1_000
# for each that is kept; counted, since times differ from one machine and moment to the next: 27 where this was written
MOST_CALLS = 40
ROOT = bytes(range(32))


def chain(count: int) -> list[Statement]:
    """The root's admission of itself and of others; the fold asks for no signatures."""
    made: list[Statement] = []
    previous = FIRST_PREVIOUS
    for seq in range(1, count + 1):
        key = ROOT if seq == 1 else seq.to_bytes(32, "big")
        member = Member(ids.broker_id(key), key, key, f"m{seq}", seq)
        admitted = Statement(
            StatementKind.ADMIT, "a" * 26, ids.broker_id(ROOT), seq, previous, seq, member.id, member=member
        )
        made.append(unpack_statement(pack_statement(admitted)))
        previous = made[-1].hash
    return made


def calls(work: Callable[[], object]) -> int:
    """How many functions it calls, those of C included."""
    count = 0

    def called(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(called)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def test_one_more_statement_beside_a_thousand_costs_little() -> None:
    *held, new = chain(MEMBERS + 1)
    before = take(ROOT, [], held)
    assert len(before.added) == MEMBERS
    taken = take(ROOT, held, [new], before)
    assert taken.added == [new] and len(taken.roster.members) == MEMBERS + 1
    assert calls(lambda: take(ROOT, held, [new], before)) < MOST_CALLS * MEMBERS


def test_what_is_known_of_before_changes_nothing_nor_does_what_is_of_other_statements() -> None:
    *held, last, new = chain(12)
    fresh = take(ROOT, [*held, last], [new])
    of_less = take(ROOT, [], held)
    for before in (take(ROOT, held, [last]), of_less, fresh):
        taken = take(ROOT, [*held, last], [new], before)
        assert (taken.roster, taken.counted, taken.added) == (fresh.roster, fresh.counted, fresh.added)

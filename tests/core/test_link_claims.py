"""Of two connections of one pair of brokers both sides keep the same one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.link import SETTLED, Claim, replaces

CLAIMS = st.builds(Claim, st.integers(1, 3), st.sampled_from([b"a", b"b"]))


@pytest.mark.parametrize(
    ("present", "new", "wins"),
    [
        (Claim(1, b"b"), Claim(2, b"a"), True),
        (Claim(2, b"a"), Claim(1, b"b"), False),
        (Claim(1, b"a"), Claim(1, b"b"), True),
        (Claim(1, b"b"), Claim(1, b"a"), False),
        (Claim(1, b"a"), Claim(1, b"a"), True),
    ],
)
def test_which_one_stays(present: Claim, new: Claim, wins: bool) -> None:
    assert replaces(present, new) is wins


@settings(deadline=None)
@given(CLAIMS, CLAIMS)
def test_both_sides_keep_the_same_one_in_whatever_order_they_come(one: Claim, other: Claim) -> None:
    if one != other:
        kept_here = other if replaces(one, other) else one
        kept_there = one if replaces(other, one) else other
        assert kept_here == kept_there


def test_who_dials_a_long_standing_link_has_lost_it() -> None:
    """Even the lower id's dial: it need not wait until the other side finds the old connection dead. Never an older
    incarnation's."""
    present, lower = Claim(4, b"b"), Claim(4, b"a")
    assert not replaces(present, lower, SETTLED)
    assert replaces(present, lower, SETTLED + 1)
    assert not replaces(present, Claim(3, b"c"), 10 * SETTLED)

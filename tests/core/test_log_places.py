"""Places over the logs of several attempts: one number each, in order, and the offset itself in the first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.core.log_places import SPAN, attempt_of, offset_of, start_of

ATTEMPTS, OFFSETS = st.integers(1, 8192), st.integers(0, SPAN - 1)


@given(attempt=ATTEMPTS, offset=OFFSETS)
def test_a_place_knows_its_attempt_and_its_offset(attempt: int, offset: int) -> None:
    place = start_of(attempt) + offset
    assert (attempt_of(place), offset_of(place)) == (attempt, offset)
    assert 0 <= place < 2**53
    assert place < start_of(attempt + 1)


@given(offset=OFFSETS)
def test_in_the_first_attempt_and_before_it_a_place_is_the_offset(offset: int) -> None:
    assert start_of(0) == start_of(1) == 0
    assert offset_of(offset) == offset

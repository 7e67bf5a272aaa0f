from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.backoff import FIRST, MOST, Backoff


def test_it_doubles_up_to_the_most() -> None:
    backoff = Backoff()
    waits = [backoff.wait(0.999_999) for _ in range(10)]
    assert [round(wait / FIRST) for wait in waits[:7]] == [1, 2, 4, 8, 16, 32, 64]
    assert waits[-1] == waits[-2] == MOST - 1


def test_a_reset_starts_anew() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.wait(0.5)
    backoff.reset()
    assert backoff.wait(0.0) == FIRST // 2


@settings(deadline=None)
@given(st.lists(st.floats(0, 1, exclude_max=True), max_size=12))
def test_a_wait_lies_between_half_and_all_of_its_step(fractions: list[float]) -> None:
    backoff, step = Backoff(), FIRST
    for fraction in fractions:
        assert step // 2 <= backoff.wait(fraction) <= step
        step = min(step * 2, MOST)

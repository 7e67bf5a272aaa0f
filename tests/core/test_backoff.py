from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.backoff import CALM, FIRST, HURRIES, HURRY_EVERY, MOST, Backoff


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


def test_links_that_end_at_once_are_followed_at_once_only_so_often() -> None:
    """A peer that ends each link as it comes up, by malice or by a full disk, costs no core."""
    backoff, now = Backoff(), 1_000
    assert [backoff.may_hurry(now, 5) for _ in range(HURRIES + 2)] == [True] * HURRIES + [False] * 2
    assert sum(backoff.may_hurry(now + passed, 5) for passed in range(0, 60_000, 100)) == 60_000 // HURRY_EVERY - 1


def test_a_link_that_had_lasted_is_always_followed_at_once() -> None:
    backoff = Backoff()
    assert all(backoff.may_hurry(1_000, CALM) for _ in range(1_000))

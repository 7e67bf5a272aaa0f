"""A hundred simultaneous dials of real brokers."""

from __future__ import annotations

import pytest

from tests.e2e.dial_races import racers

RACES = 100


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_a_hundred_races_end_with_one_link_each() -> None:
    with racers() as pair:
        for _ in range(RACES):
            pair.race()
        print(f"\n{RACES} simultaneous dials, one link each; in {pair.both_dialled} of them one of two gave way")
    assert pair.both_dialled

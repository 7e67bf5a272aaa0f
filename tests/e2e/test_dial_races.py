"""Simultaneous dials of real brokers; `make chaos` has a hundred."""

from __future__ import annotations

import pytest

from tests.e2e.dial_races import racers

RACES, MOST = 10, 60  # in every second race, or fewer on a busy machine, one is done before the other has dialled


@pytest.mark.timeout(180)
def test_brokers_that_dial_each_other_at_once_share_one_link() -> None:
    with racers() as pair:
        for n in range(MOST):
            if n >= RACES and pair.both_dialled:
                break
            pair.race()
        assert pair.both_dialled

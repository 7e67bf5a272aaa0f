"""Simultaneous dials of real brokers; `make chaos` has a hundred."""

from __future__ import annotations

import pytest

from tests.e2e.dial_races import racers

RACES = 10


@pytest.mark.timeout(180)
def test_brokers_that_dial_each_other_at_once_share_one_link() -> None:
    with racers() as pair:
        for _ in range(RACES):
            pair.race()
        assert pair.both_dialled

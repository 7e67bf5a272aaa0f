"""Which neighbour carries: among equals the quickest that was measured."""

from __future__ import annotations

from relay.core.ids import BrokerId
from relay.core.routing import Neighbour, choose

NEAR, FAR, NEW = (Neighbour(BrokerId(name * 56), True, True, rtt) for name, rtt in (("n", 3), ("f", 80), ("a", None)))


def test_a_round_trip_that_nobody_measured_is_no_short_one() -> None:
    assert choose([NEW, FAR, NEAR]) == NEAR.id
    assert choose([NEW, FAR], tried=[FAR.id]) == NEW.id
    assert choose([NEW, FAR], present=NEW.id) == NEW.id

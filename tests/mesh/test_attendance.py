"""When a peer left, as far as it said so: by that, what neighbours said before of their links with it is too old."""

from __future__ import annotations

import pytest

from relay.broker.presence import SAID, Attendance, Presence, farewell_of
from relay.core.ids import BrokerId
from relay.store.peers import Peer

PEER = BrokerId("peer")
NOW = 1_800_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.mark.parametrize(
    ("reason", "left"),
    [(f"{SAID}asleep", NOW), (f"{SAID}down", NOW), ("it fell silent", None), ("down", None), ("replaced", None)],
)
def test_only_a_goodbye_says_that_it_left(reason: str, left: int | None) -> None:
    """A link that broke may be this broker's own trouble: others may well be linked with that peer."""
    attendance = Attendance(Clock(), lambda peer: False)
    attendance.changed(PEER, farewell_of(reason))
    assert attendance.left(PEER) == left


def test_a_link_or_forgetting_ends_it() -> None:
    clock = Clock()
    attendance = Attendance(clock, lambda peer: False)
    assert attendance.left(PEER) is None
    attendance.changed(PEER, str(Presence.DOWN))
    clock.now += 5
    # what it said before may come late, by a holder
    attendance.heard(PEER, NOW + 3)
    assert attendance.left(PEER) == NOW and attendance.last(PEER) == NOW + 3
    attendance.changed(PEER, "")
    assert attendance.left(PEER) is None
    attendance.changed(PEER, str(Presence.ASLEEP))
    attendance.forget(PEER)
    assert attendance.left(PEER) is None


def test_it_outlives_a_restart() -> None:
    attendance = Attendance(Clock(), lambda peer: False)
    for farewell, left in ((str(Presence.DOWN), NOW), (str(Presence.GONE), None), ("", None)):
        attendance.remember(Peer(PEER, b"", b"", "peer", last_seen=NOW, farewell=farewell))
        assert attendance.left(PEER) == left

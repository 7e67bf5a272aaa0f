"""When a peer left, as far as it said so: by that, what neighbours said before of their links with it is too old."""

from __future__ import annotations

import pytest

from relay.broker.presence import LATE_MS, SAID, Attendance, Presence, farewell_of
from relay.core.ids import BrokerId
from relay.store.peers import Peer

PEER = BrokerId("peer")
NOW = 1_800_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


def attendance_of(clock: Clock, via: BrokerId | None = None, spoke: int | None = None) -> Attendance:
    return Attendance(clock, lambda peer: False, lambda peer: via, lambda peer: spoke)


@pytest.mark.parametrize(
    ("reason", "left"),
    [(f"{SAID}asleep", NOW), (f"{SAID}down", NOW), ("it fell silent", None), ("down", None), ("replaced", None)],
)
def test_only_a_goodbye_says_that_it_left(reason: str, left: int | None) -> None:
    """A link that broke may be this broker's own trouble: others may well be linked with that peer."""
    attendance = attendance_of(Clock())
    attendance.changed(PEER, farewell_of(reason))
    assert attendance.left(PEER) == left


def test_a_link_or_forgetting_ends_it() -> None:
    clock = Clock()
    attendance = attendance_of(clock)
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


def test_a_goodbye_by_a_clock_that_was_ahead_hides_nobody() -> None:
    clock = Clock()
    attendance = attendance_of(clock)
    clock.now = NOW + 40 * 86_400_000
    attendance.changed(PEER, str(Presence.DOWN))
    assert attendance.left(PEER) == clock.now
    clock.now = NOW
    assert attendance.left(PEER) is None
    # how long ago that was nobody knows: it is not "0 s ago" for forty days
    assert attendance.last(PEER) is None
    assert attendance.absence(PEER, "vps") == "vps is stopped (last seen while this clock was ahead, it said so)"
    known = Peer(PEER, b"", b"", "vps", last_seen=NOW + 40 * 86_400_000, clock_skew_ms=-40 * 86_400_000)
    assert attendance.skew(known) is None
    clock.now = NOW + 40 * 86_400_000
    assert attendance.last(PEER) == clock.now and attendance.skew(known) == -40 * 86_400_000


def test_it_outlives_a_restart() -> None:
    attendance = attendance_of(Clock())
    for farewell, left in ((str(Presence.DOWN), NOW), (str(Presence.GONE), None), ("", None)):
        attendance.remember(Peer(PEER, b"", b"", "peer", last_seen=NOW, farewell=farewell))
        assert attendance.left(PEER) == left


@pytest.mark.parametrize(
    ("farewell", "absence"),
    [
        (str(Presence.ASLEEP), "vps is asleep (last seen 60 s ago, it said so)"),
        (str(Presence.DOWN), "vps is stopped (last seen 60 s ago, it said so)"),
        (str(Presence.GONE), "vps is asleep (last seen 60 s ago, gone without a word)"),
        ("", "vps is out of reach (last seen 60 s ago)"),
    ],
)
def test_asleep_is_who_is_known_to_be_away(farewell: str, absence: str) -> None:
    attendance = attendance_of(Clock())
    assert attendance.absence(PEER, "vps") == "vps was not seen yet"
    attendance.remember(Peer(PEER, b"", b"", "vps", last_seen=NOW - 60_000, farewell=farewell))
    assert attendance.absence(PEER, "vps") == absence


def test_who_was_heard_long_after_its_goodbye_is_not_away_by_that() -> None:
    """It came back, to others: that those are away now does not make it a stopped one."""
    clock = Clock()
    attendance = attendance_of(clock)
    attendance.changed(PEER, str(Presence.DOWN))
    clock.now += LATE_MS + 1
    attendance.heard(PEER, NOW + LATE_MS)
    assert attendance.of(PEER) is Presence.DOWN
    attendance.heard(PEER, clock.now)
    assert attendance.of(PEER) is None
    assert attendance.absence(PEER, "vps") == "vps is out of reach (last seen 0 s ago)"


def test_who_is_in_reach_by_another_is_there() -> None:
    attendance = attendance_of(Clock(), via=BrokerId("between"))
    attendance.changed(PEER, str(Presence.GONE))
    assert attendance.of(PEER) is Presence.ONLINE
    assert attendance.absence(PEER, "vps") == "vps is not linked with this broker yet"


@pytest.mark.parametrize(("spoke", "last"), [(NOW - 3_000, NOW - 3_000), (NOW - 90_000, NOW - 60_000), (NOW + 9, NOW)])
def test_a_word_it_signed_is_heard_of_it_too(spoke: int, last: int) -> None:
    """But a clock that is ahead makes nobody seen in the future."""
    attendance = attendance_of(Clock(), spoke=spoke)
    attendance.remember(Peer(PEER, b"", b"", "vps", last_seen=NOW - 60_000, farewell=""))
    assert attendance.last(PEER) == last

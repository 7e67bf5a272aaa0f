"""When a wall clock is believed: by its peers' word, else by how far it has moved."""

from __future__ import annotations

import pytest

from relay.core.timekeeping import MOST_AT_ONCE_MS, Greeting, agreed_now, is_believed

NOW = 1_800_000_000_000
DAY = 86_400_000
FINE, OFF = Greeting(NOW, 1_000), Greeting(NOW, 40 * DAY)


@pytest.mark.parametrize(
    ("now", "agreed", "linked", "believed"),
    [
        (NOW, None, [], True),
        (NOW + MOST_AT_ONCE_MS, NOW, [], True),
        (NOW + MOST_AT_ONCE_MS + 1, NOW, [], False),
        (NOW - MOST_AT_ONCE_MS, NOW, [], True),
        (NOW - MOST_AT_ONCE_MS - 1, NOW, [], False),
        (NOW - 400 * DAY, NOW, [Greeting(NOW - 400 * DAY, 0)], True),
        (NOW, NOW - 400 * DAY, [FINE, OFF], True),
        (NOW, NOW, [OFF], False),
        # it has been set since that peer agreed
        (NOW + 40 * DAY, NOW, [FINE], False),
        (NOW - 40 * DAY, NOW, [FINE], False),
        (NOW - 40 * DAY, NOW - 40 * DAY, [FINE.after(-40 * DAY)], False),
        (NOW, NOW, [OFF.after(40 * DAY)], True),
    ],
)
def test_when_a_clock_is_believed(now: int, agreed: int | None, linked: list[Greeting], believed: bool) -> None:
    assert is_believed(now, agreed, linked) is believed


def test_what_is_believed_moves_with_the_clock_and_on_a_peer_s_word() -> None:
    assert agreed_now(NOW, None, 0, []) == NOW
    assert agreed_now(NOW + 3 * DAY, NOW, 60_000, []) == NOW + 3 * DAY
    assert agreed_now(NOW, NOW + DAY, 60_000, []) == NOW + DAY
    assert agreed_now(NOW, NOW - 400 * DAY, 60_000, [FINE]) == NOW
    assert agreed_now(NOW, NOW + 40 * DAY, 60_000, [FINE]) == NOW, "a clock that was ahead, and noted so"
    assert agreed_now(NOW, NOW - DAY, 60_000, [OFF]) is None


def test_after_a_jump_alone_it_moves_as_fast_as_the_broker_runs() -> None:
    assert agreed_now(NOW + 40 * DAY, NOW, 60_000, []) == NOW + 60_000
    assert agreed_now(NOW + 40 * DAY, NOW, 60_000, [FINE]) == NOW + 60_000

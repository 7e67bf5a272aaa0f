"""An answer that stands behind much else on a thin wire is waited for, and no other."""

from __future__ import annotations

import pytest

from relay.core.frames import HelloFrame, Pong
from relay.core.link import ANSWER_WITHIN, CHECK_WITHIN, MOST_BEHIND, Close, LinkMachine, RoundTrip

T = 1_000_000


def up() -> LinkMachine:
    machine = LinkMachine(T)
    machine.receive(HelloFrame(b"hello"), T)
    machine.accept(T)
    return machine


@pytest.mark.parametrize("is_check", [False, True])
def test_an_answer_is_waited_for_while_what_it_stands_behind_comes(is_check: bool) -> None:
    """A frame of 300 KiB takes 2.4 s at 1 Mbit/s: until it is whole nothing is heard, and yet much arrives."""
    machine, within = up(), CHECK_WITHIN if is_check else ANSWER_WITHIN
    (machine.check_now if is_check else machine.ping_now)(T, 7)
    for arrived, now in enumerate(range(T + within // 2, T + MOST_BEHIND, within // 2), 8):
        assert machine.next_deadline() == now and machine.tick(now, arrived) == []
    assert machine.receive(Pong(1), T + MOST_BEHIND - 1) == [RoundTrip(MOST_BEHIND - 1)]


@pytest.mark.parametrize("is_check", [False, True])
def test_what_was_on_its_way_before_a_ping_keeps_no_dead_link(is_check: bool) -> None:
    machine, within = up(), CHECK_WITHIN if is_check else ANSWER_WITHIN
    (machine.check_now if is_check else machine.ping_now)(T, 7)
    assert machine.tick(T + within // 2, 9) == []
    assert machine.tick(T + within, 9) == [Close(f"no answer to a ping within {within // 1000} s")]


def test_who_sends_without_end_and_never_answers_is_closed() -> None:
    machine = up()
    machine.ping_now(T)
    for arrived, now in enumerate(range(T + ANSWER_WITHIN // 2, T + MOST_BEHIND, ANSWER_WITHIN // 2), 1):
        assert machine.tick(now, arrived) == []
    assert machine.tick(T + MOST_BEHIND, 10**6) == [Close("no answer to a ping within 60 s")]

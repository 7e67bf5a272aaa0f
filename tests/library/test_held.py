"""Which calls a program has in hand: what was taken once is never begun twice."""

from __future__ import annotations

from relay.library.held import Held, Taken


def test_a_call_that_is_given_again_is_not_begun_again() -> None:
    """Whether it waits, runs, has ended, or the broker has its result."""
    held = Held()
    assert held.take("a") is Taken.NEW and held.take("a") is Taken.HELD
    held.enter("a")
    assert held.take("a") is Taken.HELD and held.again() == [{"running": "a"}]
    held.end("a", {"result": {"call": "a"}})
    assert held.take("a") is Taken.HELD and held.ids == ["a"] and held.unsaid == 1
    held.kept("a")
    assert held.take("a") is Taken.OVER and held.ids == [] and held.unsaid == 0


def test_what_is_said_anew() -> None:
    """What runs, and what has ended; what was not begun is held, and nothing is to be said of it."""
    held = Held()
    for call in "abc":
        held.take(call)
    held.enter("b")
    held.end("c", {"result": {"call": "c"}})
    assert held.ids == ["a", "b", "c"] and held.again() == [{"running": "b"}, {"result": {"call": "c"}}]


def test_what_was_given_back_may_come_again() -> None:
    """It was never begun, so that the same program may begin it when it serves anew."""
    held = Held()
    held.take("a")
    assert held.give_back("a") == {"leaving": ["a"]} and held.again() == [{"leaving": ["a"]}]
    held.kept("a")
    assert held.take("a") is Taken.NEW

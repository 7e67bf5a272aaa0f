"""How long a spawn took in each phase: by one clock each, and nothing that is not known."""

from __future__ import annotations

from relay.core.phases import PHASES, Run, Said, durations
from relay.core.states import State

NOTHING = {f"{name}_s": None for name in PHASES}


def _said(*words: tuple[int, State, int], attempt: int = 1) -> list[Said]:
    return [Said(attempt, seq, state, at) for seq, state, at in words]


def test_nothing_is_known_before_the_first_word() -> None:
    assert durations(None, [], [Run(0, None, None)]) == NOTHING


def test_each_phase_has_its_time() -> None:
    words = _said(
        (1, State.HELD, 1_000),
        (2, State.WAITING, 4_000),
        (3, State.STARTING, 9_000),
        (4, State.RUNNING, 9_500),
        (5, State.NEEDS_INPUT, 20_000),
        (6, State.RUNNING, 30_000),
        (7, State.COMPLETED, 41_000),
    )
    # the shim's own times count, not when the words were said
    found = durations(700, words, [Run(1, 9_200, 40_200)])
    expected = {"queued_s": 0.7, "delivered_s": 0.0, "held_s": 3.0, "waiting_s": 5.0, "starting_s": 0.2}
    assert found == expected | {"running_s": 31.0}


def test_what_was_overtaken_is_not_known_and_not_called_nothing() -> None:
    """Waiting and starting for less than 0.15 s are never told to the origin."""
    found = durations(20, _said((3, State.COMPLETED, 5_000)), [Run(1, 4_000, 5_000)])
    assert found == NOTHING | {"queued_s": 0.02, "delivered_s": 0.0, "running_s": 1.0}


def test_where_every_word_is_there_what_is_not_among_them_did_not_happen() -> None:
    words = _said((1, State.STARTING, 100), (2, State.COMPLETED, 900))
    found = durations(0, words, [Run(1, 150, 880)])
    assert (found["waiting_s"], found["held_s"], found["starting_s"]) == (0.0, 0.0, 0.05)


def test_attempts_are_added_up() -> None:
    words = [
        Said(1, 1, State.WAITING, 0),
        Said(1, 2, State.STARTING, 1_000),
        Said(1, 3, State.WAITING, 3_000),
        Said(2, 4, State.STARTING, 13_000),
        Said(2, 5, State.FAILED, 15_000),
    ]
    found = durations(5, words, [Run(1, 1_100, 2_900), Run(2, 13_300, 14_900)])
    assert (found["waiting_s"], found["starting_s"], found["running_s"]) == (11.0, 0.4, 3.4)


def test_a_phase_that_goes_on_has_no_length() -> None:
    found = durations(10, _said((1, State.WAITING, 0), (2, State.RUNNING, 5_000)), [Run(1, 5_000, None)])
    assert (found["waiting_s"], found["running_s"]) == (5.0, None)


def test_a_phase_that_has_just_begun_was_not_one_of_no_time() -> None:
    for state in (State.HELD, State.WAITING):
        assert durations(10, _said((1, state, 0)), [Run(0, None, None)])[f"{state}_s"] is None
    again = [*_said((1, State.WAITING, 0), (2, State.STARTING, 100), (3, State.WAITING, 900))]
    found = durations(10, again, [Run(1, 150, 880)])
    assert (found["waiting_s"], found["starting_s"], found["held_s"]) == (None, 0.05, 0.0)


def test_one_that_never_ran_did_not_run_for_no_time() -> None:
    words = _said((1, State.WAITING, 0), (2, State.CANCELLED, 5_000))
    assert durations(10, words, [Run(0, None, 5_000)])["running_s"] is None


def test_a_clock_that_was_set_back_makes_no_negative_time() -> None:
    words = _said((1, State.WAITING, 9_000), (2, State.STARTING, 1_000), (3, State.FAILED, 500))
    found = durations(0, words, [Run(1, 900, 400)])
    assert all(value >= 0 for value in found.values() if value is not None)

"""The transition table pair by pair, and the exit statuses of the command contract."""

import pytest

from relay.core.states import (
    IN_HAND,
    NOT_STARTED,
    TERMINAL,
    TRANSITIONS,
    IllegalTransition,
    State,
    advance,
    exit_status,
)

S = State

# design §7, written out once more by hand: what follows what
ALLOWED: dict[State, str] = {
    S.QUEUED: "delivered cancelled expired rejected",
    S.DELIVERED: "held waiting starting cancelled expired rejected",
    S.HELD: "waiting cancelled expired rejected",
    S.WAITING: "starting held cancelled expired rejected",
    S.STARTING: "waiting running completed failed timed_out cancelled lost rejected",
    S.RUNNING: "needs_input waiting completed failed timed_out cancelled lost",
    S.NEEDS_INPUT: "running waiting completed failed timed_out cancelled lost",
    **dict.fromkeys(
        (S.COMPLETED, S.FAILED, S.TIMED_OUT, S.CANCELLED, S.REJECTED, S.EXPIRED, S.LOST), "waiting"
    ),  # a person's `retry`
}
PAIRS = [(one, other) for one in State for other in State]


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=lambda state: str(state))
def test_every_pair(one: State, other: State) -> None:
    if other in ALLOWED.get(one, "").split():
        assert advance(one, other) is other
    else:
        with pytest.raises(IllegalTransition, match=f"{one} -> {other}"):
            advance(one, other)


def test_every_state_stands_in_the_table() -> None:
    assert set(TRANSITIONS) == set(State)


def test_groups() -> None:
    assert {str(state) for state in TERMINAL} == set(
        "completed failed timed_out cancelled rejected expired lost".split()
    )
    assert NOT_STARTED | IN_HAND | TERMINAL == set(State)
    assert not NOT_STARTED & IN_HAND and not (NOT_STARTED | IN_HAND) & TERMINAL


def test_every_state_leads_to_an_end() -> None:
    for state in State:
        reached, ahead = set[State](), {state}
        while ahead:
            reached |= ahead
            ahead = {following for each in ahead for following in TRANSITIONS[each]} - reached
        assert reached & TERMINAL


@pytest.mark.parametrize(
    ("state", "exit_code", "signal", "cause", "status"),
    [
        (S.COMPLETED, 0, None, "", 0),
        (S.FAILED, 7, None, "exit_nonzero", 7),
        (S.FAILED, 0, None, "agent_error", 1),
        (S.FAILED, None, None, "agent_no_result", 1),
        (S.FAILED, None, 9, "killed_by_signal", 137),
        (S.FAILED, None, 15, "killed_by_signal", 143),
        (S.FAILED, None, None, "missing_binary", 127),
        (S.FAILED, None, None, "not_executable", 126),
        (S.TIMED_OUT, None, 15, "task_timed_out", 124),
        (S.LOST, None, None, "task_lost", 123),
        (S.REJECTED, None, None, "no_grant", 125),
        (S.EXPIRED, None, None, "expired", 125),
        (S.CANCELLED, None, 2, "", 130),
    ],
)
def test_exit_statuses(state: State, exit_code: int | None, signal: int | None, cause: str, status: int) -> None:
    assert exit_status(state, exit_code, signal, cause) == status


def test_zero_is_for_completed_alone() -> None:
    ends = TERMINAL - {S.COMPLETED}
    assert all(exit_status(state, code, None) != 0 for state in ends for code in (None, 0, 1))


@pytest.mark.parametrize("state", sorted(set(State) - TERMINAL))
def test_what_has_not_ended_has_no_status(state: State) -> None:
    with pytest.raises(KeyError):
        exit_status(state, None, None)

"""The life of a spawn: one enum, one transition table (docs/architecture.md draws it).

Only the target runs this table; every other broker keeps copies of its signed word.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a spawn stands."""

    QUEUED = "queued"
    DELIVERED = "delivered"
    HELD = "held"
    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    NEEDS_INPUT = "needs_input"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    LOST = "lost"


class IllegalTransition(Exception):
    """A pair that is not in the table: a defect of ours, never of a peer."""


_S = State
_ENDS_OF_A_START = {_S.COMPLETED, _S.FAILED, _S.TIMED_OUT, _S.CANCELLED, _S.LOST}
_NEVER_STARTED = {_S.CANCELLED, _S.EXPIRED, _S.REJECTED}

_ENDS = frozenset(_ENDS_OF_A_START | _NEVER_STARTED)

TRANSITIONS: dict[State, frozenset[State]] = {
    _S.QUEUED: frozenset({_S.DELIVERED} | _NEVER_STARTED),
    _S.DELIVERED: frozenset({_S.HELD, _S.WAITING, _S.STARTING} | _NEVER_STARTED),
    _S.HELD: frozenset({_S.WAITING} | _NEVER_STARTED),
    # back to held: its grant asks for a person since, or what was approved was changed
    _S.WAITING: frozenset({_S.STARTING, _S.HELD} | _NEVER_STARTED),
    # back to waiting: the attempt was fenced and has never started, or it failed and another one follows
    _S.STARTING: frozenset({_S.RUNNING, _S.WAITING, _S.REJECTED} | _ENDS_OF_A_START),
    _S.RUNNING: frozenset({_S.NEEDS_INPUT, _S.WAITING} | _ENDS_OF_A_START),
    _S.NEEDS_INPUT: frozenset({_S.RUNNING, _S.WAITING} | _ENDS_OF_A_START),
    # an end is left in one way only: a person asks for another attempt
    **dict.fromkeys(_ENDS, frozenset({_S.WAITING})),
}

TERMINAL: frozenset[State] = _ENDS
NOT_STARTED: frozenset[State] = frozenset({_S.QUEUED, _S.DELIVERED, _S.HELD, _S.WAITING})
NEEDS_A_PERSON: frozenset[State] = frozenset({_S.HELD, _S.NEEDS_INPUT})
IN_HAND: frozenset[State] = frozenset({_S.STARTING, _S.RUNNING, _S.NEEDS_INPUT})
ENDED_BADLY: frozenset[State] = frozenset({_S.FAILED, _S.TIMED_OUT, _S.LOST, _S.REJECTED, _S.EXPIRED})
# what a person may ask for by one word, where a list is filtered by state
GROUPS: dict[str, frozenset[State]] = {
    "live": frozenset(_S) - TERMINAL,
    "ended": TERMINAL,
    "failed": ENDED_BADLY,
    "needs_you": NEEDS_A_PERSON,
    **{str(state): frozenset({state}) for state in _S if state is not _S.FAILED},
}
# as a person sorts them: what needs one first, then what runs, what waits, and what is over
URGENCY: tuple[State, ...] = (
    _S.NEEDS_INPUT,
    _S.HELD,
    _S.RUNNING,
    _S.STARTING,
    _S.WAITING,
    _S.DELIVERED,
    _S.QUEUED,
    _S.FAILED,
    _S.LOST,
    _S.TIMED_OUT,
    _S.REJECTED,
    _S.EXPIRED,
    _S.CANCELLED,
    _S.COMPLETED,
)


def advance(current: State, following: State) -> State:
    """The following state, if the table has the pair.

    Raises:
        IllegalTransition: it has not.
    """
    if following not in TRANSITIONS[current]:
        raise IllegalTransition(f"{current} -> {following}")
    return following


def exit_status(state: State, exit_code: int | None, signal: int | None, cause: str = "") -> int:
    """What a command that waited for a spawn exits with (cli.md, "Exit status").

    Args:
        state: a terminal state.
        exit_code: the task's own, where it had one.
        signal: the number of the signal that ended it.
        cause: the error's code, for what never ran (`missing_binary`, `not_executable`).
    """
    fixed = {_S.COMPLETED: 0, _S.TIMED_OUT: 124, _S.LOST: 123, _S.CANCELLED: 130, _S.REJECTED: 125, _S.EXPIRED: 125}
    if state is not _S.FAILED:
        return fixed[state]
    if cause in ("missing_binary", "not_executable"):
        return 127 if cause == "missing_binary" else 126
    return 128 + signal if signal else (exit_code or 1)

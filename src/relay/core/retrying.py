"""Which failures another attempt may mend, and how long to wait before it.

Only what is listed is tried again: a code that a later version adds ends the spawn until somebody decides otherwise.
"""

from __future__ import annotations

from relay.core.errors import Code
from relay.core.states import State

FIRST_MS = 2_000
MOST_MS = 15 * 60_000

# by state; never `cancelled` and `rejected`, which somebody wanted, nor `lost`, which may have acted.
# of `failed` not what a person has to mend first: a missing program, a wrong task, a folder, denied tools
RETRIED: dict[State, frozenset[Code]] = {
    State.FAILED: frozenset(
        {
            Code.EXIT_NONZERO,
            Code.KILLED_BY_SIGNAL,
            Code.AGENT_ERROR,
            Code.AGENT_NO_RESULT,
            Code.LAUNCH_FAILED,
            Code.PLACE_FAILED,
            Code.STORE_FAULT,
            Code.DISK_FULL,
        }
    ),
    State.TIMED_OUT: frozenset({Code.TASK_TIMED_OUT}),
}


def may_retry(state: State, code: str) -> bool:
    """Whether another attempt may mend an end.

    Args:
        state: the terminal state the attempt would end in.
        code: its error's code.
    """
    return code in RETRIED.get(state, frozenset())


def pause_ms(retry: int, fraction: float) -> int:
    """How long to wait before a retry: 2 s, doubled each time, at most 15 min, of which half to all.

    Args:
        retry: which one, from 1.
        fraction: a random number in [0, 1).
    """
    step = min(FIRST_MS << min(retry - 1, 20), MOST_MS)
    return int(step * (0.5 + fraction / 2))

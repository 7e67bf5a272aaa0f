"""How long a spawn took in each phase, from the words of its target.

`queued` is by the origin's clock alone: from the request to the first receipt or word that came back. All others are by
the target's clock alone. No difference is taken between the clocks of two machines: what would need one is None.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from relay.core.states import State
from relay.core.values import frozen

PHASES = ("queued", "delivered", "held", "waiting", "starting", "running")


@frozen
class Said:
    """One word of the target: its order, the state, and when it was said (milliseconds, the target's clock)."""

    attempt: int
    seq: int
    state: State
    at: int


@frozen
class Run:
    """When an attempt's task was started and when it ended, on the target's clock; None where it is not known."""

    attempt: int
    started: int | None
    ended: int | None


def durations(queued: int | None, words: Sequence[Said], runs: Sequence[Run]) -> dict[str, float | None]:
    """Seconds in each phase, over all attempts; None where a phase is not over, or not known.

    What a target says of waiting and starting reaches the origin only where it lasts for 0.15 s; a shorter one counts
    towards what was before, or is None.

    Args:
        queued: milliseconds by the origin's clock, or None.
        words: of the target, in their order.
        runs: of each attempt.
    """
    told = _by_state(words, runs)
    # a request is judged in the transaction that takes it in: its first word is said when it arrives, or nobody has it
    found = {"queued": queued, "delivered": 0 if words else None}
    found |= {name: told.get(name) for name in ("held", "waiting", "starting")}
    ended = [each for each in runs if each.started is not None]
    lengths = [max(0, each.ended - each.started) for each in ended if each.ended and each.started is not None]
    found["running"] = sum(lengths) if lengths and len(lengths) == len(ended) else None
    return {f"{name}_s": None if (value := found[name]) is None else round(value / 1000, 3) for name in PHASES}


def _by_state(words: Sequence[Said], runs: Sequence[Run]) -> dict[str, int]:
    started = {each.attempt: each.started for each in runs}
    sums: dict[str, int] = {}
    for word, after in itertools.pairwise(words):
        until = after.at
        if word.state is State.STARTING and (at := started.get(word.attempt)) is not None:
            until = min(until, at)
        sums[str(word.state)] = sums.get(str(word.state), 0) + max(0, until - word.at)
    if _is_whole(words):
        sums = dict.fromkeys(("held", "waiting"), 0) | sums
    if words:
        sums.pop(str(words[-1].state), None)  # it goes on, whatever there was of it before
    return sums


def _is_whole(words: Sequence[Said]) -> bool:
    """Whether nothing was left out: then what is not among them did not happen."""
    return bool(words) and [word.seq for word in words] == list(range(1, len(words) + 1))

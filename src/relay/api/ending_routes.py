"""The requests about what would begin, and about what is to end; as in `routes`."""

from __future__ import annotations

from relay.api.routes import ANSWER_S, Call, operation_body, query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.api import shapes, trial_shapes

MOST_AWAITED = 100  # of one request: a path has room for no more than some thousand letters


def trial(order: shapes.SpawnOrder) -> Call[trial_shapes.Trial]:
    """What would become of a spawn; nothing is started or queued."""
    return Call("trials", operation_body(None) | dict(order))


def first_end(ids: Sequence[str], seconds: float) -> Call[list[shapes.Spawn]]:
    """These spawns as they stand once one of them has ended, needs a person, or the seconds are over.

    Args:
        ids: of spawns, at most `MOST_AWAITED`.
        seconds: to wait.
    """
    return Call("waits" + query(of=",".join(ids), seconds=seconds), patience_s=seconds + ANSWER_S)

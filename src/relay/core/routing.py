"""Which way an envelope goes: the direct link, else one holder between origin and recipient.

A holder hands to the recipient only, so that no envelope can go in circles. Which of several is chosen follows from
what is known at the moment; that it was the wrong one costs time, never the envelope.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from relay.core.ids import BrokerId
from relay.core.values import frozen

SILENT_AFTER = 60_000
"""How long a holder may be away before a second one gets what it keeps, milliseconds."""
LOST_AFTER = 30_000
"""How long a recipient is in a holder's reach and says nothing, before its receipts count as lost, milliseconds."""
_SECOND_AFTER = 10 * 60_000
_AGAIN_AFTER = 6 * 3_600_000


@frozen
class Neighbour:
    """A broker that is linked with this one.

    Attributes:
        id: who it is.
        holds: it is always on and offers to keep envelopes for others.
        reaches: it says that it is linked with the recipient.
        rtt: its last round trip, milliseconds; None where none was measured.
    """

    id: BrokerId
    holds: bool
    reaches: bool
    rtt: int | None = None


def choose(
    neighbours: Iterable[Neighbour], tried: Sequence[BrokerId] = (), present: BrokerId | None = None
) -> BrokerId | None:
    """The neighbour that is to carry what has no direct way; None where there is none.

    Args:
        neighbours: all that are linked; the recipient is not among them.
        tried: those tried in vain, the last one last: who was not tried comes first, then who was longest ago.
        present: the one that carries now; it is kept where no other is better.
    """
    willing = [each for each in neighbours if each.holds or each.reaches]
    if not willing:
        return None

    def rank(each: Neighbour) -> tuple[int, bool, bool, bool, bool, int, BrokerId]:
        vain = tried.index(each.id) + 1 if each.id in tried else 0
        # a round trip that nobody measured is no short one
        unmeasured = each.rtt is None
        return vain, not each.reaches, not each.holds, each.id != present, unmeasured, each.rtt or 0, each.id

    return min(willing, key=rank).id


def hand_over_again(handed: int) -> int:
    """After how long an envelope that a holder keeps, and nobody has receipted, is handed over once more.

    Args:
        handed: how often it was handed over.

    Returns:
        Milliseconds: ten minutes after the first time, so that a second holder gets it; then six hours.
    """
    return _SECOND_AFTER if handed <= 1 else _AGAIN_AFTER

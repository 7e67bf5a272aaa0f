"""Presence: who is there, who said goodbye, who went without a word. For wording only; nothing is gated on it.

What is not known is None: a broker that was never linked, or one that was linked when this broker itself ended.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

from relay.broker.link import CLOCK_SET, NO_MEMBER, REVOKED, TWO_MACHINES, Link
from relay.broker.words import ago
from relay.core.backoff import CALM
from relay.core.ids import BrokerId
from relay.core.timekeeping import MAX_SKEW_MS
from relay.core.values import frozen
from relay.store.peers import Peer

if TYPE_CHECKING:
    from relay.broker.mesh import Mesh

SAID = "the other side said: "
LATE_MS = 60_000
"""A word may be so much later than its broker's goodbye and have been said before: it has the time of that broker's
clock, and clocks that nobody sets differ by some ten seconds."""


class Presence(StrEnum):
    """What is known of a broker's being there."""

    ONLINE = "online"
    ASLEEP = "asleep"  # it said so
    DOWN = "down"  # it was stopped, and said so
    GONE = "gone"  # without a word


_GOODBYES = {"asleep": Presence.ASLEEP, "down": Presence.DOWN}
_HOW: dict[Presence, str] = {
    Presence.GONE: ", gone without a word",
    Presence.DOWN: ", it said so",
    Presence.ASLEEP: ", it said so",
}
_RETURNS = frozenset({*_GOODBYES, "starts anew", CLOCK_SET, REVOKED})


def farewell_of(reason: str) -> str:
    """What a link's end says of the peer, as it is kept; empty where the end was this broker's own doing.

    Args:
        reason: `Link.reason`.
    """
    if reason.startswith(SAID):
        return str(_GOODBYES.get(reason.removeprefix(SAID), ""))
    own = ("down", "starts anew", "replaced", "refused", NO_MEMBER, TWO_MACHINES, CLOCK_SET, REVOKED)
    return "" if reason.startswith(own) else str(Presence.GONE)


def was_turned_away(link: Link) -> bool:
    """Whether a link was ended by a word, soon after it had come up: dialling at once would end the same way."""
    if link.lasted >= CALM:
        return False
    said = link.reason.removeprefix(SAID)
    return said not in _RETURNS and (said != link.reason or said.startswith(("replaced", "refused", TWO_MACHINES)))


def is_there(mesh: Mesh, peer: BrokerId) -> bool:
    """Whether a broker is shown to be there: not who said goodbye and is named by a neighbour for seconds more."""
    return mesh.is_linked(peer) or mesh.reached_by(peer) is not None


def _left(at: int | None, farewell: str) -> int | None:
    return at if farewell in _GOODBYES else None


@frozen
class Seen:
    """What this broker remembers of another.

    Attributes:
        last: when a link to it last spoke, milliseconds; None for never.
        farewell: a `Presence` value, or empty for unknown.
        left: when it said goodbye, milliseconds; None where it did not, or is linked again.
    """

    last: int | None = None
    farewell: str = ""
    left: int | None = None


class Attendance:
    """Remembers when each peer was there.

    Args:
        clock: milliseconds since 1970.
        is_linked: whether a peer is linked now.
        reached_by: the linked broker by which one is in reach that is not linked itself; None for none.
        spoke: when a peer last said something of itself, milliseconds on its own clock; None for never.
        turned_down: why there was no link the last time, in words; empty where that is not known.
    """

    def __init__(
        self,
        clock: Callable[[], int],
        is_linked: Callable[[BrokerId], bool],
        reached_by: Callable[[BrokerId], BrokerId | None],
        spoke: Callable[[BrokerId], int | None],
        turned_down: Callable[[BrokerId], str] = lambda peer: "",
    ) -> None:
        self._clock = clock
        self._is_linked = is_linked
        self._reached_by = reached_by
        self._spoke = spoke
        self._turned_down = turned_down
        self._seen: dict[BrokerId, Seen] = {}

    def remember(self, peer: Peer) -> None:
        """What the store has of a peer."""
        self._seen[peer.id] = Seen(peer.last_seen, peer.farewell, _left(peer.last_seen, peer.farewell))

    def changed(self, peer: BrokerId, farewell: str, silent_for: int = 0) -> int:
        """A link to a peer came up, or ended just now; when the peer was heard last, milliseconds since 1970.

        Args:
            farewell: of `farewell_of`; empty for one that came up.
            silent_for: for how long nothing had been heard over it, milliseconds.
        """
        now = self._clock()
        self._seen[peer] = Seen(now - silent_for, farewell, _left(now, farewell))
        return now - silent_for

    def heard(self, peer: BrokerId, at: int) -> None:
        """A signed word of a peer came over no link of its own.

        Args:
            at: when it was said, milliseconds on the peer's clock: a holder may have kept it for days.
        """
        seen = self._seen.get(peer, Seen())
        self._seen[peer] = replace(seen, last=max(seen.last or 0, min(at, self._clock())))

    def forget(self, peer: BrokerId) -> None:
        """Nothing is known of that peer any more."""
        self._seen.pop(peer, None)

    def last(self, peer: BrokerId) -> int | None:
        """When it was last heard: over a link, or by a word it signed (milliseconds).

        None for never, and where only a clock that was ahead tells: how long ago that was is not known any more.
        """
        now = self._clock()
        if self._is_linked(peer):
            return now
        heard = [at for at in self._heard(peer) if at <= now + MAX_SKEW_MS]
        return min(max(heard), now) if heard else None

    def skew(self, peer: Peer | None) -> int | None:
        """A peer's clock minus this machine's, as it was found last; None where this one has been set right since."""
        if peer is None or (peer.last_seen or 0) > self._clock() + MAX_SKEW_MS:
            return None
        return peer.clock_skew_ms

    def _heard(self, peer: BrokerId) -> list[int]:
        return [at for at in (self._seen.get(peer, Seen()).last, self._spoke(peer)) if at is not None]

    def left(self, peer: BrokerId) -> int | None:
        """When it said goodbye (milliseconds); None where it did not, or is linked again.

        A link that broke without a word says nothing of other links of the same peer: this is None then. So it is where
        this clock has been set back since: what was heard after the goodbye cannot be told by it.
        """
        left = self._seen.get(peer, Seen()).left
        return None if left is None or left > self._clock() else left

    def of(self, peer: BrokerId) -> Presence | None:
        """Whether a peer is there; None for unknown."""
        if self._is_linked(peer) or self._reached_by(peer) is not None:
            return Presence.ONLINE
        farewell = self._seen.get(peer, Seen()).farewell
        return Presence(farewell) if farewell and not self._was_back(peer) else None

    def _was_back(self, peer: BrokerId) -> bool:
        """Whether it was heard again over others since it said goodbye here: how it went from there nobody has said."""
        left, last = self.left(peer), self.last(peer)
        return left is not None and last is not None and last - left > LATE_MS

    def shuts_out(self, peer: BrokerId) -> bool:
        """Whether a peer has said that this broker is no member of its workspace (any more)."""
        return self._turned_down(peer) == SAID + NO_MEMBER

    def absence(self, peer: BrokerId, name: str) -> str:
        """Why something waits for a peer that is not linked: asleep is who went without a word, too."""
        last, presence = self.last(peer), self.of(peer)
        if last is None and not self._heard(peer):
            return f"{name} was not seen yet"
        if presence is Presence.ONLINE:
            return f"{name} is not linked with this broker yet"
        seen = "last seen while this clock was ahead" if last is None else f"last seen {ago(self._clock() - last)}"
        if self.shuts_out(peer):
            return f"{name} says that this broker is no member of the workspace ({seen})"
        if presence is None:
            return f"{name} is out of reach ({seen})"
        state = "stopped" if presence is Presence.DOWN else "asleep"
        return f"{name} is {state} ({seen}{_HOW[presence]})"

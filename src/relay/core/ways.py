"""The windows of all recipients, and the way that each of them goes now: to the recipient itself, or to a holder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from relay.core.delivery import Window
from relay.core.values import frozen

Peer = TypeVar("Peer")


@frozen
class Answered(Generic[Peer]):
    """What a holder said of the rows of one recipient.

    Attributes:
        kept: ids that it keeps now.
        why_not: why it would not keep some; empty where it keeps all.
    """

    recipient: Peer
    kept: list[bytes]
    why_not: str


@dataclass(slots=True)
class Ways(Generic[Peer]):
    """Which link each window's rows go over.

    On another way a window is read anew from the store: over the recipient's own link everything that was not
    receipted, to a holder what none keeps (`is_by_holder`).
    """

    _windows: dict[Peer, Window] = field(default_factory=dict)
    _ways: dict[Peer, Peer] = field(default_factory=dict)
    _by_holder: set[Peer] = field(default_factory=set)

    def window(self, recipient: Peer) -> Window:
        """What is on its way to that broker."""
        found = self._windows.get(recipient)
        if found is None:  # this runs for each frame: no window is made to be thrown away
            found = self._windows[recipient] = Window()
        return found

    @property
    def recipients(self) -> list[Peer]:
        """All that have a window."""
        return list(self._windows)

    def way(self, recipient: Peer) -> Peer | None:
        """Whose link its rows go over: its own, a holder's, or none."""
        return self._ways.get(recipient)

    def is_by_holder(self, recipient: Peer) -> bool:
        """Whether its rows went, or go, to holders since there was a direct link last."""
        return recipient in self._by_holder

    def remember_held(self, recipient: Peer, envelope: bytes) -> None:
        """A holder keeps this one since an earlier run."""
        self.window(recipient).remember_held([envelope])
        self._by_holder.add(recipient)

    def over(self, peer: Peer) -> list[Peer]:
        """The recipients whose rows go over the link to that peer, itself first."""
        own = [peer] if self._ways.get(peer) == peer else []
        return own + [each for each in self._by_holder if each != peer and self._ways.get(each) == peer]

    def turn(self, recipient: Peer, after: Peer | None) -> bool:
        """Rows for a recipient go this way from now on; whether that is another one than before, and one at all."""
        if self._ways.get(recipient) == after:
            return False
        window = self.window(recipient)
        window.link_lost()
        if after is None:
            del self._ways[recipient]
            return False
        self._ways[recipient] = after
        if after != recipient:
            self._by_holder.add(recipient)
            window.begin_anew()
        elif recipient in self._by_holder:
            self._by_holder.discard(recipient)
            window.begin_anew()
        return True

    def unheard(self, times: int) -> list[tuple[Peer, Peer]]:
        """Recipients with holders that were sent the same rows so often and have not said a word about them."""
        pairs = [(each, self._ways.get(each)) for each in self._by_holder if self.window(each).unheard >= times]
        return [(each, way) for each, way in pairs if way is not None and way != each]

    def link_lost(self, peer: Peer) -> None:
        """Nothing in flight over the link to that peer can be counted on."""
        for recipient, way in self._ways.items():
            if way == peer:
                self.window(recipient).link_lost()

    def answered(self, holder: Peer, answers: Iterable[tuple[bytes, str]]) -> list[Answered[Peer]]:
        """A holder says what became of rows it was handed: ids, and why not (empty: it keeps it).

        What it would not keep is not sent there again before its window is begun anew.
        """
        whys = dict(answers)
        found = []
        for recipient in [each for each in self._by_holder if self._ways.get(each) == holder]:
            window = self.window(recipient)
            kept = window.held(each for each, why in whys.items() if not why)
            refused = window.set_aside(each for each, why in whys.items() if why)
            if refused:
                # what it is asked next it would refuse as well
                window.rest()
            if kept or refused:
                found.append(Answered(recipient, kept, whys[refused[0]] if refused else ""))
        return found

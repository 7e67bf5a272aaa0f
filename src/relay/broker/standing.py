"""What other brokers were let begin, and that goes on: it ends where the grant that let them does.

What went over their own link ends with that; over a holder's nothing else would end it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from relay.broker.gate import Gate
from relay.core.errors import Code, Refused
from relay.core.ids import BrokerId
from relay.core.values import frozen

GONE = frozenset({Code.NO_GRANT, Code.NO_VERB, Code.GRANT_EXPIRED})
"""Nothing is ended for a file that is broken, a grant that is frozen, or an hour that is over."""


@frozen
class _Begun:
    origin: BrokerId
    verb: str
    own: bool
    end: Callable[[Refused], None]


class Standing:
    """What goes on now.

    Args:
        gate: who may.
        clock: milliseconds since 1970.
    """

    def __init__(self, gate: Gate, clock: Callable[[], int]) -> None:
        self._gate = gate
        self._clock = clock
        self._begun: dict[object, _Begun] = {}

    @contextmanager
    def as_long_as(self, origin: BrokerId, verb: str, own: bool, end: Callable[[Refused], None]) -> Iterator[None]:
        """Have something ended where it may not go on; for the length of a block.

        Args:
            origin: who was let begin it, or is about to be.
            verb: what lets it.
            own: whether the spawn was asked for by the same broker.
            end: called with the reason.
        """
        key = object()
        self._begun[key] = _Begun(origin, verb, own, end)
        try:
            yield
        finally:
            del self._begun[key]

    def grants_changed(self) -> None:
        """End what may not go on."""
        for each in list(self._begun.values()):
            try:
                self._gate.require(each.origin, each.verb, each.own, self._clock())
            except Refused as refusal:
                if refusal.code in GONE:
                    each.end(refusal)

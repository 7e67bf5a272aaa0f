"""Which calls a program has in hand, and what its broker has yet to acknowledge. No I/O here.

    taken ──► entered ──► ended ──► kept by the broker
      └──► given back, where the program leaves before it was entered

The broker gives a call out again when it cannot know that it was received; so what was taken once is never begun twice,
for as long as this process lives.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum, auto
from typing import Any

MOST_KEPT = 10_000
LEAVING = "leaving"
Message = dict[str, Any]


class Taken(Enum):
    """What a call that was given out is to this program."""

    NEW = auto()
    HELD = auto()
    OVER = auto()


class Held:
    """The calls of one program, by id."""

    def __init__(self) -> None:
        self._open: dict[str, bool] = {}
        self._ended: dict[str, Message] = {}
        self._kept: OrderedDict[str, None] = OrderedDict()

    def take(self, call: str) -> Taken:
        """A call was given out: whether it is to be begun."""
        if call in self._open or call in self._ended:
            return Taken.HELD
        if call in self._kept:
            return Taken.OVER
        self._open[call] = False
        return Taken.NEW

    def enter(self, call: str) -> None:
        """Its function was entered."""
        self._open[call] = True

    def end(self, call: str, word: Message) -> None:
        """It came to its real end; this is to be said until it is acknowledged."""
        self._open.pop(call, None)
        self._ended[call] = word

    def give_back(self, call: str) -> Message:
        """It was never begun, and is left to another time: what is said of that, until it is acknowledged."""
        word = {LEAVING: [call]}
        self.end(call, word)
        return word

    def kept(self, call: str) -> None:
        """The broker has its result on disk."""
        word = self._ended.pop(call, None)
        if word is not None and LEAVING not in word:
            self._kept[call] = None
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)

    @property
    def ids(self) -> list[str]:
        """All that are in hand, for the broker that is told anew."""
        return [*self._open, *self._ended]

    def is_entered(self, call: str) -> bool:
        """Whether its function was entered, and has not ended."""
        return self._open.get(call, False)

    @property
    def unsaid(self) -> int:
        """How many have ended, and the broker has not acknowledged it."""
        return len(self._ended)

    def again(self) -> list[Message]:
        """What is said anew on a new connection."""
        return [*({"running": call} for call, entered in self._open.items() if entered), *self._ended.values()]

"""Which items of a blob to ask for next, and when to ask again: a machine without clock or network.

    missing ──ask──▶ in flight ──received──▶ in hand ──written──▶ here
       ▲                │ overtaken, silence,     │ wrong
       └────────────────┴── path lost ◀───────────┘

At most `WINDOW` items are in flight or in hand: that is the credit, and it is given by the one who wants the
blob. A silence halves it and each item that comes gives one back, and how long silence is borne follows the gaps
between items: so a slow path is not filled with the same item again and again. `now` is monotonic milliseconds.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field

from relay.core.blobs import Shape

WINDOW = 16
# beyond the first item that is missing, so that what is kept of out-of-order ones has a bound
AHEAD = 1_024
# the sender answers in the order it was asked in: what so many later ones have overtaken is lost
OVERTAKEN = 8
PATIENCE = 5_000
MAX_PATIENCE = 60_000
STEP = 4  # asked for together: each request is an envelope that is sealed, signed and verified as any other
GAPS = 4  # so many times the longest gap of late is silence
MAX_WRONG = 3


@dataclass(slots=True)
class Pull:
    """One blob being pulled.

    Attributes:
        shape: its tree.
        done: the first so many items of the walk are here.
        window: how many items may be in flight or in hand.
        wrong: how many pieces did not have their hash.
    """

    shape: Shape
    done: int = 0
    window: int = WINDOW
    wrong: int = 0
    silences: int = 0
    _here: set[int] = field(default_factory=set)
    _flight: dict[int, tuple[int, int]] = field(default_factory=dict)
    _hand: set[int] = field(default_factory=set)
    _lost: list[int] = field(default_factory=list)
    _cursor: int = 0
    _asked: int = 0
    _heard: int = 0
    _room: int = 0
    _gap: int = 0
    _began: int = 0
    _is_begun: bool = False

    def __post_init__(self) -> None:
        self._cursor = self.done
        self._room = self.window

    def found(self, items: Iterable[int]) -> None:
        """These are here already, from before a restart."""
        for item in items:
            self._keep(item)

    @property
    def complete(self) -> bool:
        """Whether everything is here."""
        return self.done == self.shape.total

    @property
    def given_up(self) -> bool:
        """Whether the sender has sent wrong bytes too often."""
        return self.wrong >= MAX_WRONG

    @property
    def in_flight(self) -> int:
        """How many items were asked for and have not come."""
        return len(self._flight)

    def is_here(self, item: int) -> bool:
        """Whether an item is written and verified."""
        return item < self.done or item in self._here

    # asking

    def ask(self, now: int) -> list[int]:
        """The items to ask for now, lowest first; from here on they are in flight.

        While some are in flight, none until there is room for a few.
        """
        asked: list[int] = []
        if not self._is_begun:
            self._is_begun, self._began = True, now
        free = self._room - len(self._flight) - len(self._hand)
        if self._flight and free < min(STEP, self._room // 4):
            return asked
        while len(self._flight) + len(self._hand) < self._room:
            item = self._next()
            if item is None:
                break
            self._asked += 1
            self._flight[item] = (self._asked, now)
            asked.append(item)
        return asked

    def _next(self) -> int | None:
        while self._lost:
            item = heapq.heappop(self._lost)
            if not (self.is_here(item) or item in self._flight or item in self._hand):
                return item
        while self._cursor < self.shape.total and self.is_here(self._cursor):
            self._cursor += 1
        item = self._cursor
        if item >= min(self.shape.total, self.done + AHEAD) or not self._is_listed(item):
            return None
        self._cursor += 1
        return item

    def _is_listed(self, item: int) -> bool:
        """Whether the node that lists it is here, so that its hash is known."""
        return item == 0 or self.is_here(self.shape.item(self.shape.parent(self.shape.place(item))))

    # answers

    def received(self, item: int, now: int) -> bool:
        """An item came; False where it was not asked for, or came before, and is to be dropped.

        One that was called lost and comes after all is welcome.
        """
        # a copy of what is here shows that the path lives, too
        self._gap = max(now - max(self._heard, self._began), self._gap * 3 // 4)
        self._heard, self.silences = now, 0
        if item not in self._flight and not self._is_late(item):
            return False
        order, _ = self._flight.pop(item, (0, 0))
        self._hand.add(item)
        self._room = min(self._room + 1, self.window)
        overtaken = [each for each, (asked, _) in self._flight.items() if asked + OVERTAKEN <= order]
        self._lose(overtaken)
        return True

    def _is_late(self, item: int) -> bool:
        missing = item in self._lost and item not in self._hand and not self.is_here(item)
        return missing and len(self._hand) < self.window

    def written(self, item: int) -> None:
        """An item in hand was verified and written."""
        self._hand.discard(item)
        self._keep(item)

    def refused(self, item: int) -> None:
        """An item in hand did not have its hash: it is asked for again, and counted against the sender."""
        self._hand.discard(item)
        self.wrong += 1
        self._lose([item])

    def put_back(self, item: int) -> None:
        """An item in hand could not be written now: it is asked for again later."""
        self._hand.discard(item)
        self._lose([item])

    def _keep(self, item: int) -> None:
        if item >= self.done:
            self._here.add(item)
        while self.done in self._here:
            self._here.remove(self.done)
            self.done += 1

    def _lose(self, items: Iterable[int]) -> None:
        for item in items:
            self._flight.pop(item, None)
            heapq.heappush(self._lost, item)

    # time

    @property
    def patience(self) -> int:
        """How long silence is borne, milliseconds."""
        return int(min(max(PATIENCE, GAPS * self._gap) * 2**self.silences, MAX_PATIENCE))

    def deadline(self) -> int | None:
        """When `tick` wants to be called; None while nothing is in flight."""
        if not self._flight:
            return None
        return max(self._heard, min(at for _, at in self._flight.values())) + self.patience

    def tick(self, now: int) -> bool:
        """After a silence that was too long everything in flight is lost; whether that is so now."""
        deadline = self.deadline()
        if deadline is None or now < deadline:
            return False
        self.silences = min(self.silences + 1, 8)
        self._room = max(1, self._room // 2)
        self._lose(list(self._flight))
        return True

    def path_lost(self) -> None:
        """The way there is cut: nothing in flight can be counted on."""
        self._lose(list(self._flight))
        self._is_begun = False

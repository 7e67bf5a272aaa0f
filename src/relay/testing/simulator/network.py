"""A simulated network: connections whose frames are delayed, doubled, overtaken, held back or swallowed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from relay.core.frames import Frame
from relay.testing.simulator.timeline import Timeline


class Fate(Enum):
    """What becomes of a connection's frames."""

    PASSES = auto()
    HELD = auto()
    SWALLOWED = auto()


@dataclass(slots=True)
class Roughness:
    """How badly the network behaves; chances per frame, and the longest delay in milliseconds."""

    delay: int = 5
    duplicate: float = 0.0
    reorder: float = 0.0


class End:
    """One end of a connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.is_open = True
        self.other: End
        self.receive: Callable[[Frame], None]
        self.lost: Callable[[], None]
        self._due = 0

    def send(self, frame: Frame) -> None:
        """Send a frame; nothing happens on a closed end."""
        if self.is_open:
            self.connection.network.carry(self, frame)

    def close(self) -> None:
        """Close: the other end hears of it behind all that was sent."""
        if self.is_open:
            self.connection.network.carry(self, None)
            self.is_open = False

    def due(self, delay: int, now: int) -> int:
        """How long a frame sent now takes, no earlier there than the one before."""
        self._due = max(self._due, now + delay)
        return self._due - now


class Connection:
    """Two ends."""

    def __init__(self, network: Network, pair: frozenset[int]) -> None:
        self.network = network
        self.pair = pair
        self.fate = Fate.PASSES
        self.held: list[tuple[End, Frame | None]] = []
        self.dialler, self.listener = End(self), End(self)
        self.dialler.other, self.listener.other = self.listener, self.dialler


class Network:
    """All connections of a world."""

    def __init__(self, timeline: Timeline, rough: Roughness) -> None:
        self.rough = rough
        self._timeline = timeline
        self._connections: list[Connection] = []
        self._parted: set[frozenset[int]] = set()
        self.strangers: set[frozenset[int]] = set()

    def connect(self, one: int, other: int) -> Connection | None:
        """A fresh connection, unless a partition stands between."""
        pair = frozenset((one, other))
        if pair in self._parted | self.strangers:
            return None
        connection = Connection(self, pair)
        self._connections.append(connection)
        return connection

    def carry(self, end: End, frame: Frame | None) -> None:
        """Take a frame, or the news of a close, from one end towards the other."""
        line, rough = self._timeline, self.rough
        delay = line.between(0, rough.delay)
        if frame is not None and rough.reorder and line.chance(rough.reorder):
            line.after(delay + line.between(1, 30), self._arrive, end.other, frame)
            return
        delay = end.due(delay, line.now)
        line.after(delay, self._arrive, end.other, frame)
        if frame is not None and rough.duplicate and line.chance(rough.duplicate):
            line.after(delay, self._arrive, end.other, frame)

    def _arrive(self, end: End, frame: Frame | None) -> None:
        connection = end.connection
        if connection.fate is Fate.HELD:
            connection.held.append((end, frame))
        elif connection.fate is Fate.PASSES and end.is_open:
            if frame is None:
                end.is_open = False
                end.lost()
            else:
                end.receive(frame)

    def partition(self, pair: frozenset[int]) -> None:
        """Nothing passes between two brokers any more; what there is may or may not outlast it."""
        self._parted.add(pair)
        for connection in self._connections:
            if connection.pair == pair and connection.fate is Fate.PASSES:
                connection.fate = Fate.HELD if self._timeline.chance(0.5) else Fate.SWALLOWED

    def are_strangers(self, one: int, other: int) -> bool:
        """Whether no network leads from one to the other."""
        return frozenset((one, other)) in self.strangers

    def heal(self, pair: frozenset[int]) -> None:
        """The partition is over."""
        self._parted.discard(pair)
        for connection in self._connections:
            if connection.pair == pair and connection.fate is Fate.HELD:
                connection.fate = Fate.PASSES
                held, connection.held = connection.held, []
                for end, frame in held:
                    self._timeline.after(0, self._arrive, end, frame)

    def power_lost(self, broker: int) -> None:
        """A machine is gone without a word: whatever it was connected to is half open."""
        for connection in self._connections:
            if broker in connection.pair:
                connection.fate = Fate.SWALLOWED

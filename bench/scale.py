"""`python -m bench.scale`: how a workspace's cost grows with its size; a table, and docs/scale.svg.

The brokers are the real books and gossip of peer records (`relay.broker.gossip`) on a simulated network: what one says
is carried to the other `LATENCY_MS` later, and every byte of it is counted with the envelope around it. Everybody is
linked with everybody, as brokers are that can reach each other. No signature is made or checked, so that a thousand
fit one process.
"""

from __future__ import annotations

import hashlib
import random
import statistics
import sys
import tracemalloc
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.plot import Curve, Panel, drawn
from relay.broker.discovery import COMPARE_EVERY_S
from relay.core.ids import BrokerId
from relay.core.record_book import Book, Held
from relay.core.records import MAX_LINKED, RENEW_AFTER_MS, pack_record, unpack_record
from tests.mesh import roster_world
from tests.mesh.gossip_world import ENVELOPE, World

SIZES = (10, 50, 100, 300, 1_000)
LATENCY_MS = 50
COMPARE_EVERY_MS = round(COMPARE_EVERY_S * 1000)
MINUTE_MS = 60_000
COMPARE_MS = 5 * MINUTE_MS
ROOT_BYTES = ENVELOPE + 48
STATEMENT_BYTES = 360  # a signed admission, the roster's head, and their keys
SLEEPER_LINKS = 50
SAMPLE = 5
SLEEPS_A_DAY = 4
DAY_MIN = 24 * 60
# with an idle link in a broker (`make bench`), and a broker without links (PSS)
LINK_KIB, BROKER_MIB = 90, 38
PLOT = Path(__file__).parents[1] / "docs" / "scale.svg"
Said = tuple[BrokerId, BrokerId, dict[str, Any]]


class _Wire(deque[Said]):
    """What is under way, each with when it arrives; what is said is an answer to what arrived last."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self._arrivals: deque[int] = deque()

    def append(self, said: Said) -> None:
        self._arrivals.append(self.now + LATENCY_MS)
        super().append(said)

    def popleft(self) -> Said:
        self.now = self._arrivals.popleft()
        return super().popleft()


class _Workspace(World):
    """Everybody linked with everybody, all books full."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._wire = self.wire = _Wire()
        for member in self.members:
            self.links[member] = set(self.members) - {member}
        self.settled()

    def joins(self, newest: BrokerId) -> int:
        """A member comes with an empty book and one link; milliseconds until everybody holds its record."""
        inviter = self.members[0]
        for other in self.members:
            self.links[other].discard(newest)
            self.gossips[other].forget(newest)
        self.links[newest] = set()
        self.gossips[newest] = self._gossip(newest, 0)
        self.publish(newest)
        self.link(newest, inviter)
        began, last, left = self.wire.now, 0, set(self.members) - {newest}
        while left:
            assert sum(gossip.compare_next() for gossip in self.gossips.values())
            self.wire.now += COMPARE_EVERY_MS
            while self._wire:
                sender, hearer, content = self._wire.popleft()
                self._carry(sender, hearer, content)
                if hearer in left and self.gossips[hearer].book.get(newest):
                    left.discard(hearer)
                    last = self.wire.now
        for other in self.members[1:]:
            if other != newest:
                self.link(newest, other, tell=False)
        self.run()
        return last - began

    def wakes(self, sleeper: BrokerId) -> None:
        """A member with a full book is linked again with everybody: both sides of each link compare."""
        for peer in self.links[sleeper]:
            self.gossips[peer].link_changed(sleeper, True)
            self.gossips[sleeper].link_changed(peer, True)
        self.run()


@dataclass(frozen=True, slots=True)
class Row:
    """One size of workspace; bytes are those of one broker, sent and received.

    Attributes:
        size: members.
        change: bytes of one changed record.
        quiet: bytes a minute where nobody comes or goes: records are renewed, books are compared.
        lively: bytes a minute where every member sleeps and wakes four times a day.
        admission: bytes of one member's admission: its statement, and its record.
        missed: bytes a link, of 50 at most, where one wakes that slept through an admission.
        book: bytes of memory that all records take.
        known_ms: until everybody knows a new member.
    """

    size: int
    change: float
    quiet: float
    lively: float
    admission: float
    missed: float
    book: int
    known_ms: int

    @property
    def memory(self) -> float:
        """MiB of a broker with all its links."""
        return BROKER_MIB + self.size * LINK_KIB / 1024 + self.book / 1024**2


def _bytes_each(world: World) -> float:
    return 2 * world.counts.bytes / world.size  # one sends it, another receives it


def _book_bytes(world: World) -> int:
    """Memory of one book whose records were read from the wire."""
    raws = [pack_record(record) for record in world.saying.values()]
    tracemalloc.start()
    book, copies = Book(), [bytes(bytearray(raw)) for raw in raws]
    for raw in copies:
        book.put(Held(unpack_record(raw), raw, hashlib.sha256(raw).digest(), world.now))
    del copies
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return used


def _missed(size: int) -> float:
    """Bytes a link where a member wakes that slept through the last admission, and all links come up at once."""
    world, chain = roster_world.World(), roster_world.admissions(size)
    peers = [world.add(number, chain) for number in range(min(SLEEPER_LINKS, size - 1))]
    for at, one in enumerate(peers):
        for other in peers[:at]:
            world.join_quietly(one, other)
    sleeper = world.add(size - 1, chain[:-1])
    for peer in peers:
        world.link(sleeper, peer)
    world.run()
    assert len(world.heads()) == 1
    return sleeper.heard.bytes / len(peers)


def measure(size: int) -> Row:
    """One size."""
    world, chance = _Workspace(size), random.Random(size)
    changes, wakes = list[float](), list[float]()
    for member in chance.sample(world.members, min(SAMPLE, size)):
        for step, found in ((world.publish, changes), (world.wakes, wakes)):
            world.reset()
            step(member)
            world.run()
            found.append(_bytes_each(world))
    change, wake = statistics.mean(changes), statistics.mean(wakes)
    world.reset()
    known_ms = world.joins(world.members[-1])
    joined = _bytes_each(world)
    quiet = size * change * MINUTE_MS / RENEW_AFTER_MS + 2 * 2 * ROOT_BYTES * MINUTE_MS / COMPARE_MS
    # who sleeps goes from the records of those that told of a link with it, and comes again; its own changes once
    told = 2 * min(MAX_LINKED, size - 1) + 1
    lively = quiet + size * SLEEPS_A_DAY / DAY_MIN * (told * change + wake)
    statement = 2 * (size - 1) * (STATEMENT_BYTES + ENVELOPE)
    return Row(size, change, quiet, lively, statement + joined, _missed(size), _book_bytes(world), known_ms)


HEAD = (
    "brokers",
    "links of one",
    "links in all",
    "quiet, KB/min",
    "lively, KB/min",
    "an admission, KB",
    "a missed one, KB a link",
    "memory, MiB",
    "known, ms",
)


def _cells(row: Row) -> tuple[str, ...]:
    links = (row.size - 1, row.size * (row.size - 1) // 2)
    kilobytes = (f"{each / 1000:,.1f}" for each in (row.quiet, row.lively, row.admission, row.missed))
    return (f"{row.size:,}", *(f"{each:,}" for each in links), *kilobytes, f"{row.memory:.0f}", str(row.known_ms))


def table(rows: Sequence[Row]) -> str:
    """As docs/scale.md has it."""
    lines = [HEAD, tuple("---:" for _ in HEAD), *map(_cells, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plot(rows: Sequence[Row]) -> str:
    """As docs/scale.svg has it."""

    def curve(name: str, value: Callable[[Row], float]) -> Curve:
        return Curve(name, [(row.size, value(row)) for row in rows])

    gossip = (
        curve("every member sleeps and wakes 4 x a day", lambda row: row.lively / 1000),
        curve("nobody comes or goes", lambda row: row.quiet / 1000),
    )
    links = (
        curve("in all", lambda row: row.size * (row.size - 1) / 2),
        curve("of a broker", lambda row: row.size - 1),
    )
    return drawn(
        [
            Panel("gossip of a broker, KB a minute", gossip),
            Panel("links", links),
            Panel("memory of a broker, MiB", (curve("with all its links", lambda row: row.memory),)),
            Panel(f"a new member is known, ms ({LATENCY_MS} ms a hop)", (curve("to all", lambda row: row.known_ms),)),
        ]
    )


def main() -> None:
    """Measure each size, print the table, write the plot."""
    rows = []
    for size in SIZES:
        print(f"{size} brokers ...", file=sys.stderr, flush=True)
        rows.append(measure(size))
    PLOT.write_text(plot(rows))
    print(table(rows))


if __name__ == "__main__":
    main()

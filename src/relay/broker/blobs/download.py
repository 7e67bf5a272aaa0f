"""One blob on its way here: what it waits for, what has come and is not yet written, how fast it goes."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import Any

from relay.broker.blobs.files import BlobFile
from relay.broker.blobs.turns import Turn
from relay.core.blobs import Place
from relay.core.errors import PeerFault, RelayError
from relay.core.pace import Pace
from relay.core.pulling import Pull
from relay.core.values import frozen
from relay.store.blobs import Blob, Reference

IN_LINE = "it waits for its turn: others are fetched before it"
SILENT_AFTER_S = 2.0  # what comes comes several times a second
LOOK_S = 1.0  # how often a pull that waits looks whether its turn is over
_log = logging.getLogger(__name__)


def monotonic_ms() -> int:
    """The clock of pulls: milliseconds that only grow."""
    return time.monotonic_ns() // 1_000_000


@frozen
class Piece:
    """An item that came, not yet verified."""

    item: int
    place: Place
    data: object


@dataclass(slots=True, eq=False)
class Download:
    """One blob being pulled.

    Attributes:
        blob: its row when this began.
        machine: what is here and what is in flight.
        source: from whom it is pulled now.
        turn: its leave to pull, while it has one.
        elsewhere: somebody else has it too.
        in_line: it waits for its turn.
        stream: the id under which its pieces come; `session`: the one the sender gave.
        state: `waiting`, `pulling` or `paused`, with the `reason`.
        moved: when a piece was written last, monotonic seconds.
    """

    blob: Blob
    machine: Pull
    pace: Pace
    source: Reference | None = None
    turn: Turn | None = None
    elsewhere: bool = False
    in_line: bool = False
    stream: bytes = b""
    session: bytes = b""
    asked: int = 0
    state: str = "waiting"
    reason: str = ""
    moved: float = 0.0
    unsynced: int = 0
    refusal: RelayError | None = None
    pieces: list[Piece] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    poked: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def done(self) -> int:
        """Bytes that are here, from the beginning without a gap."""
        return self.machine.shape.bytes_before(self.machine.done)

    @property
    def why(self) -> str:
        """Why it stands still; empty while something comes."""
        if self.in_line:
            return IN_LINE
        silent = time.monotonic() - self.moved
        if self.state == "pulling" and silent >= SILENT_AFTER_S:
            return f"nothing has come for {silent:.0f} s"
        return self.reason

    def stand(self, state: str, reason: str = "") -> None:
        """Say how it stands."""
        self.state, self.reason = state, reason

    def begin(self, source: Reference, stream: bytes) -> None:
        """Begin a stream: what comes under an earlier one counts for nothing."""
        self.machine.path_lost()
        for piece in self.pieces:
            self.machine.put_back(piece.item)
        self.pieces.clear()
        self.news.clear()
        self.source, self.stream, self.session = source, stream, b""
        self.asked = 0
        self.refusal = None

    def came(self, content: dict[str, Any]) -> None:
        """A piece came; dropped unless it was asked for and is missing, so that one sent again moves nothing."""
        item = content["item"]
        if type(item) is not list or len(item) != 2:
            return
        place = Place(*item)
        if not all(type(each) is int for each in place) or not self.machine.shape.has(place):
            return
        number = self.machine.shape.item(place)
        if self.machine.received(number, monotonic_ms()):
            self.pieces.append(Piece(number, place, content["data"]))
            self.news.set()

    @property
    def is_to_give_way(self) -> bool:
        """Whether its turn is over."""
        return self.turn is not None and self.turn.is_over(elsewhere=self.elsewhere)

    def written(self, piece: Piece) -> None:
        """A piece was right, and is written."""
        self.machine.written(piece.item)
        self.unsynced += 1
        self.moved = time.monotonic()
        if self.turn is not None and isinstance(piece.data, bytes):
            self.turn.came(len(piece.data))

    def settled(self, pieces: list[Piece], results: list[RelayError | None], name: str) -> RelayError | None:
        """What became of pieces that came.

        Args:
            pieces: of `take`.
            results: what was wrong with each, of `keep`.
            name: who sent them.

        Returns:
            Why this cannot go on, or None.
        """
        trouble: RelayError | None = None
        for piece, error in zip(pieces, results, strict=True):
            if error is None:
                self.written(piece)
            elif isinstance(error, PeerFault):
                _log.warning("%s sent wrong bytes of a blob: %s", name, error.why)
                self.machine.refused(piece.item)
                trouble = wrong_bytes(name, error) if self.machine.given_up else trouble
            else:
                self.machine.put_back(piece.item)
                trouble = error
        return trouble

    def take(self) -> list[Piece]:
        """What has come since the last time."""
        taken, self.pieces = self.pieces, []
        self.news.clear()
        return taken

    async def until_news(self, deadline: int | None) -> None:
        """Wait until something came, the deadline (monotonic milliseconds) is over, or a turn has to be looked at."""
        left = LOOK_S if deadline is None else max(deadline - monotonic_ms(), 0) / 1000
        await wait(self.news, min(left, LOOK_S))

    async def pause(self, seconds: float) -> None:
        """Wait so long, or until there may be a path."""
        await wait(self.poked, seconds)


async def wait(event: asyncio.Event, seconds: float) -> bool:
    """Wait for an event; whether it came within the seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


def keep(file: BlobFile, pieces: list[Piece]) -> list[RelayError | None]:
    """Verify pieces and write them; for each what was wrong with it. Blocks."""
    return [_kept(file, piece) for piece in pieces]


def _kept(file: BlobFile, piece: Piece) -> RelayError | None:
    try:
        file.keep(piece.place, piece.data)
    except RelayError as error:
        return error
    return None


def wrong_bytes(name: str, last: PeerFault) -> PeerFault:
    """The sender is given up."""
    return PeerFault(
        f"{name} sent wrong bytes again and again",
        code=last.code,
        why=f"{last.why}; nothing of them was kept",
        hint=f"on {name}: relay doctor, then relay blob send FILE once more",
    )

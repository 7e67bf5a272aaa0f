"""One link's machine: hello first, then frames; an answered ping shows that the other side lives.

Sans-I/O: `receive` and `tick` take `now` (monotonic milliseconds) and return effects that the shell
carries out in order. The machine never sleeps; `next_deadline` says when it wants to be ticked.

    OPENING --hello verified--> UP --bye / fault / silence--> CLOSED
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from relay.core.errors import Code, PeerFault
from relay.core.frames import Batch, Bye, Credit, Custody, Frame, HelloFrame, Hold, Pass, Ping, Pong, Said, Taken
from relay.core.values import frozen

HELLO_TIMEOUT = 10_000
IDLE_PING = 53_000  # with a step and the answer's 6 s, what is half open and idle is found in less than 60
# many idle links are asked together, some at each half second: the process wakes once for all of them
PING_STEP = 500
BUSY_PING = 3_000
ANSWER_WITHIN = 6_000
# asked on a wake or a change of network: 200 ms away, with two of its packets lost one after another, it still answers
CHECK_WITHIN = 2_000
# an answer may be behind much else on a thin wire, where one frame takes seconds; while that comes it is waited for
MOST_BEHIND = 60_000
# a dial that began before a link was there is over by then: 10 s to connect and 10 s to the hello
SETTLED = 20_000
RECEIVE_WINDOW = 4 * 1024 * 1024
# twice the window: what is not durable may go out beyond the credit, so that receipts never wait
MAX_IN_HAND = 2 * RECEIVE_WINDOW


class LinkState(Enum):
    """Where a link stands."""

    OPENING = auto()
    UP = auto()
    CLOSED = auto()


@frozen
class Send:
    """Put this frame on the wire."""

    frame: Frame


@frozen
class Greet:
    """A hello arrived: verify it, then call `accept`, or close."""

    hello: bytes


@frozen
class Take:
    """Envelopes arrived, in this order."""

    envelopes: tuple[bytes, ...]


@frozen
class Keep:
    """The other side's envelopes for somebody else arrived, to be kept."""

    envelopes: tuple[bytes, ...]


@frozen
class PassOn:
    """The other side's envelopes for somebody else arrived, to be handed on now or never."""

    envelopes: tuple[bytes, ...]


@frozen
class Hear:
    """Pieces of channels arrived, in this order: to be given to them at once."""

    pieces: tuple[bytes, ...]


@frozen
class Answered:
    """The other side says what became of what it was to keep: ids, and why not (empty: it is kept)."""

    answers: tuple[tuple[bytes, str], ...]


@frozen
class Forget:
    """The other side needs these ids kept for it no longer."""

    ids: tuple[bytes, ...]


@frozen
class RoundTrip:
    """A ping was answered after this many milliseconds."""

    ms: int


@frozen
class Granted:
    """The other side will take more."""


@frozen
class Close:
    """Close the connection, for this reason."""

    reason: str


Effect = Send | Greet | Take | Keep | PassOn | Hear | Answered | Forget | RoundTrip | Granted | Close


@dataclass(slots=True)
class LinkMachine:
    """The state of one link.

    Attributes:
        opened: when the connection was made, monotonic milliseconds.
        leads: whether this side asks first where nothing is heard. The other one has its question for an answer:
            of two that fell silent together one ping is enough.
        credit: bytes of envelopes the other side will still take.
        heard: when a frame came last, monotonic milliseconds.
    """

    opened: int
    leads: bool = False
    state: LinkState = LinkState.OPENING
    credit: int = RECEIVE_WINDOW
    heard: int = 0
    _substance: int = 0
    _ping: tuple[int, int] | None = None
    _look_at: int = 0
    _arrived: int = 0
    _pings: int = 0
    _checking: bool = False
    _unanswered_since: int | None = None
    _owed: int = 0
    _in_hand: int = 0
    _greeted: bool = field(default=False)

    def __post_init__(self) -> None:
        self.heard = self.opened

    def receive(self, frame: Frame, now: int) -> list[Effect]:
        """What to do about a frame.

        Raises:
            PeerFault: the other side broke the order of the protocol; close the link.
        """
        self.heard = now
        if not isinstance(frame, Ping | Pong):
            self._substance = now
        if self.state is LinkState.CLOSED:
            return []
        if self.state is LinkState.OPENING:
            return self._opening(frame)
        return self._up(frame, now)

    def _opening(self, frame: Frame) -> list[Effect]:
        if isinstance(frame, Bye):
            return self._close(f"the other side said: {frame.reason}")
        if not isinstance(frame, HelloFrame) or self._greeted:
            raise PeerFault("a frame came before the hello", code=Code.BAD_FRAME)
        self._greeted = True
        return [Greet(frame.hello)]

    def _up(self, frame: Frame, now: int) -> list[Effect]:
        match frame:
            case Batch(envelopes):
                return self._take(Take(envelopes))
            case Hold(envelopes):
                return self._take(Keep(envelopes))
            case Pass(envelopes):
                return self._take(PassOn(envelopes))
            case Said(pieces):
                return [Hear(pieces), *self._give_back(sum(map(len, pieces)))]
            case Custody(answers):
                return [Answered(answers)]
            case Taken(ids):
                return [Forget(ids)]
            case Ping(n):
                return [Send(Pong(n))]
            case Pong(n):
                return self._pong(n, now)
            case Credit(amount):
                self.credit = min(self.credit + amount, RECEIVE_WINDOW)
                return [Granted()]
            case Bye(reason):
                return self._close(f"the other side said: {reason}")
            case HelloFrame():
                raise PeerFault("a second hello", code=Code.BAD_FRAME)

    def _take(self, arrived: Take | Keep | PassOn) -> list[Effect]:
        self._in_hand += sum(map(len, arrived.envelopes))
        if self._in_hand > MAX_IN_HAND:
            raise PeerFault("a batch was refused", code=Code.BAD_FRAME, why="it goes beyond the credit that was given")
        return [arrived]

    def accept(self, now: int) -> None:
        """The hello was verified and the id is on the roster: the link is up."""
        self.state = LinkState.UP
        self.heard = now

    def sent(self, size: int, now: int, *, awaits_receipt: bool) -> None:
        """Envelopes of this many bytes went out."""
        self.credit -= size
        if awaits_receipt and self._unanswered_since is None:
            self._unanswered_since = now

    def answered(self, all_of_it: bool, now: int) -> None:
        """Receipts came; `all_of_it` says that nothing is unanswered any more."""
        self._unanswered_since = None if all_of_it else now

    def taken(self, size: int) -> list[Effect]:
        """Envelopes of this many bytes were dealt with: give the credit back, in steps of a quarter window."""
        self._in_hand -= size
        return self._give_back(size)

    def _give_back(self, size: int) -> list[Effect]:
        self._owed += size
        if self._owed < RECEIVE_WINDOW // 4:
            return []
        owed, self._owed = self._owed, 0
        return [Send(Credit(owed))]

    def _pong(self, n: int, now: int) -> list[Effect]:
        if self._ping is None or self._ping[0] != n:
            return []
        sent_at, self._ping, self._checking, self._substance = self._ping[1], None, False, now
        return [RoundTrip(now - sent_at)]

    def _close(self, reason: str) -> list[Effect]:
        self.state = LinkState.CLOSED
        return [Close(reason)]

    def ping_now(self, now: int, arrived: int = 0) -> list[Effect]:
        """Ask at once whether the other side lives, unless that was asked already. Arguments as for `tick`."""
        if self.state is not LinkState.UP or self._ping is not None:
            return []
        self._pings += 1
        self._ping = (self._pings, now)
        self._look_again(now, now, arrived)
        return [Send(Ping(self._pings))]

    def check_now(self, now: int, arrived: int = 0) -> list[Effect]:
        """The machine woke, or the network changed: ask anew, and wait for the answer less long.

        A ping that is out already may have gone over a path that is no more. Arguments as for `tick`.
        """
        if self.state is not LinkState.UP or self._checking:
            return []
        self._checking, self._ping = True, None
        return self.ping_now(now, arrived)

    def _look_again(self, asked: int, now: int, arrived: int) -> None:
        # half of the time at once: what was on its way as the ping went says nothing of the path as it is now
        look_at, over = now + self._answer_within // 2, asked + self._answer_within
        self._look_at, self._arrived = min(look_at, over) if now < over else look_at, arrived

    @property
    def _answer_within(self) -> int:
        return CHECK_WITHIN if self._checking else ANSWER_WITHIN

    def _ping_due(self) -> int:
        quiet = self.heard + (IDLE_PING * 20 // 21 if self.leads else IDLE_PING)
        if self._unanswered_since is None:
            return -(-quiet // PING_STEP) * PING_STEP
        # over a slow wire an answer stands behind much else, and so would a ping; what nobody asked for shows nothing
        return min(quiet, max(self._unanswered_since, self._substance) + BUSY_PING)

    def next_deadline(self) -> int | None:
        """When `tick` wants to be called, monotonic milliseconds; None once closed."""
        if self.state is LinkState.CLOSED:
            return None
        if self.state is LinkState.OPENING:
            return self.opened + HELLO_TIMEOUT
        return self._look_at if self._ping else self._ping_due()

    def tick(self, now: int, arrived: int = 0) -> list[Effect]:
        """What the passing of time asks for.

        Args:
            now: monotonic milliseconds.
            arrived: how often something has come over the connection, whole frames or not.
        """
        deadline = self.next_deadline()
        if deadline is None or now < deadline:
            return []
        if self.state is LinkState.OPENING:
            return self._close("no hello within 10 s")
        if self._ping is not None:
            return self._unanswered(self._ping[1], now, arrived)
        return self.ping_now(now, arrived)

    def _unanswered(self, asked: int, now: int, arrived: int) -> list[Effect]:
        waited = now - asked
        if waited < self._answer_within or (arrived != self._arrived and waited < MOST_BEHIND):
            self._look_again(asked, now, arrived)
            return []
        return self._close(f"no answer to a ping within {waited // 1000} s")


@frozen
class Claim:
    """What decides between two connections of one pair of brokers.

    Attributes:
        incarnation: the peer's, from its hello.
        dialler: the id (wire bytes) of the side that dialled.
    """

    incarnation: int
    dialler: bytes


def replaces(present: Claim, new: Claim, age: int = 0) -> bool:
    """Whether a new connection takes the place of the present one.

    The newer incarnation wins, then the dial of the higher id; the same dialler dials again only when it has
    given up the connection before. Both sides come to the same answer without a word.

    Args:
        present: of the connection that is there.
        new: of the one whose hello came.
        age: for how long the present one has been there, milliseconds. Both were dialled at once only where it is
            young; past `SETTLED` the other side dials because it has lost it.
    """
    if new.incarnation != present.incarnation:
        return new.incarnation > present.incarnation
    return new.dialler >= present.dialler or age > SETTLED

"""One link: the shell around `core.link`, from the hello to the end.

It moves bytes and keeps time; it decides nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from relay.broker.arrivals import Arrivals
from relay.broker.carrier import Carrier, CarrierClosed
from relay.broker.greeting import Greeted, Greeter
from relay.broker.host import Host
from relay.broker.live import Wrap
from relay.broker.sending import Sending
from relay.broker.together import Together
from relay.core import ids
from relay.core.errors import Code, PeerFault, RelayError
from relay.core.frames import SAID, Batch, Bye, Frame, HelloFrame, pack_frame, unpack_frame
from relay.core.hello import Judgement
from relay.core.ids import BrokerId
from relay.core.link import (
    Answered,
    Claim,
    Close,
    Effect,
    Forget,
    Granted,
    Greet,
    Hear,
    Keep,
    LinkMachine,
    LinkState,
    PassOn,
    RoundTrip,
    Send,
    Take,
)

CLOSE_WITHIN = 2.0
REPLACED = "replaced"
TWO_MACHINES = "two machines show this identity"
NO_MEMBER = "no member of this workspace"
CLOCK_SET = "its clock was set"
REVOKED = "its grant was revoked, or is over"
_log = logging.getLogger(__name__)


def monotonic_ms() -> int:
    """The clock of links: milliseconds that only grow."""
    return time.monotonic_ns() // 1_000_000


class Link:
    """One connection to one broker.

    Args:
        carrier: moves its messages.
        greeter: makes and judges hellos.
        host: the mesh.
    """

    def __init__(self, carrier: Carrier, greeter: Greeter, host: Host) -> None:
        self.carrier = carrier
        self.peer: BrokerId = ids.broker_id(carrier.peer_public)  # who is at the other end, by its TLS key
        self.machine = LinkMachine(monotonic_ms(), leads=carrier.dialled)
        self.rtt_ms: int | None = None
        self.greeted: Greeted | None = None
        self.since = time.time_ns() // 1_000_000
        self.ended = asyncio.Event()
        self.answered = asyncio.Event()  # the next answer to a ping; another one after it
        self.reason = ""
        self._greeter = greeter
        self._host = host
        self._sending = Sending(
            carrier,
            self.machine,
            self.peer,
            lambda: list(host.loads(self.peer)),
            lambda: self._may_send,
            lambda: self._arm(),
            monotonic_ms,
        )
        self._arrivals = Arrivals(host, self.peer, self.say, self.close, self._dealt_with)
        self._timer: asyncio.TimerHandle | None = None
        self._stop = asyncio.Event()
        self._goodbye: asyncio.Task[None] | None = None

    @property
    def claim(self) -> Claim:
        """What decides between this link and another of the same pair."""
        assert self.greeted is not None
        own = self.carrier.dialled
        dialler = self._greeter.binding(self.carrier.peer_public, own).dialler
        return Claim(self.greeted.hello.incarnation, ids.digest_of(dialler))

    @property
    def lasted(self) -> int:
        """For how long there has been a connection, milliseconds."""
        return monotonic_ms() - self.machine.opened

    @property
    def silent_for(self) -> int:
        """For how long nothing has been heard over it, milliseconds."""
        return monotonic_ms() - self.machine.heard

    @property
    def is_clone(self) -> bool:
        """Whether the hello was of a second machine with this identity."""
        return self.greeted is not None and self.greeted.judgement is Judgement.CLONED

    @property
    def is_up(self) -> bool:
        """Whether both hellos are through."""
        return self.machine.state is LinkState.UP

    async def run(self) -> None:
        """Greet, then move envelopes until the link ends. Never raises for what the other side does."""
        try:
            async with Together() as group:
                group.create_task(self._read())
                group.create_task(self._sending.run())
                group.create_task(self._end_when_told())
        except* CarrierClosed as group:
            self.reason = self.reason or str(group.exceptions[0]) or "the connection was lost"
        except* RelayError as group:
            self._note_fault(group)
        finally:
            self._ended()

    def _note_fault(self, group: BaseExceptionGroup[RelayError]) -> None:
        fault = group.exceptions[0]
        if isinstance(fault, RelayError):
            self.reason = self.reason or f"{fault.message}: {fault.why}"
        _log.warning("link to %s (%s): %s", ids.short(self.peer), self.carrier.address, self.reason)

    def _ended(self) -> None:
        self.machine.state = LinkState.CLOSED
        if self._timer is not None:
            self._timer.cancel()
        self._sending.over()
        self.ended.set()
        self._tell_answered()

    async def let_go(self) -> None:
        """Take in what had come, and close the connection of a link that has ended; that takes 2 s at most for each."""
        await self._arrivals.finish(CLOSE_WITHIN)
        if self._goodbye is not None:
            # said before the carrier closes: a peer that hears nothing shows this broker as gone without a word
            await asyncio.wait([self._goodbye])
        with contextlib.suppress(TimeoutError, CarrierClosed):
            async with asyncio.timeout(CLOSE_WITHIN):
                await self.carrier.close()

    def _tell_answered(self) -> None:
        answered, self.answered = self.answered, asyncio.Event()
        answered.set()

    async def _end_when_told(self) -> None:
        await self._stop.wait()
        raise CarrierClosed(self.reason)

    @property
    def is_ending(self) -> bool:
        """Whether it was told to end and has not yet."""
        return self._stop.is_set() and not self.ended.is_set()

    def close(self, reason: str) -> None:
        """Say goodbye and end.

        Args:
            reason: told to the other side.
        """
        if not self._stop.is_set():
            self.reason = self.reason or reason
            self._stop.set()
            self._farewell(reason)

    def _farewell(self, reason: str) -> None:
        async def say() -> None:
            with contextlib.suppress(CarrierClosed, TimeoutError):
                async with asyncio.timeout(0.5):
                    await self.carrier.send(pack_frame(Bye(reason)))

        self._goodbye = asyncio.get_running_loop().create_task(say())

    # reading

    async def _read(self) -> None:
        hello = self._greeter.hello(self.carrier.peer_public, self.carrier.dialled)
        self._sending.say(HelloFrame(hello))
        self._arm()
        while True:
            message = await self.carrier.receive()
            for effect in self.machine.receive(unpack_frame(message), monotonic_ms()):
                self._carry_out(effect)

    def _read_at_once(self, message: bytes) -> None:
        """As `_read` does, from within the carrier: it may raise nothing."""
        try:
            for effect in self.machine.receive(unpack_frame(message), monotonic_ms()):
                self._carry_out(effect)
        except PeerFault as fault:
            self.close(f"refused: {fault.message}")
        except Exception:
            _log.exception("what was said on a channel was not heard")

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Send(frame):
                self.say(frame)
            case Greet(hello):
                self._greet(hello)
            case Take() | Keep() | PassOn():
                self._arrivals.deal_with(effect)
            case Hear(pieces):
                self._host.hear(self.peer, pieces)
            case Answered(answers):
                self._host.answered(self.peer, answers)
                self.receipted()
            case Forget(envelopes):
                self._host.forget(self.peer, envelopes)
                self.receipted()
            case RoundTrip(ms):
                self.rtt_ms = ms
                self._tell_answered()
            case Granted():
                self._sending.wake()
            case Close(reason):
                raise CarrierClosed(reason)

    def _greet(self, hello: bytes) -> None:
        try:
            self.greeted = self._greeter.judge(hello, self.carrier.peer_public, self.carrier.dialled)
        except PeerFault as fault:
            if fault.code not in (Code.PROTOCOL_VERSION, Code.NOT_A_MEMBER):
                raise
            _log.warning("no link to %s: %s: %s", ids.short(self.peer), fault.message, fault.why)
            # said, so that it tells its people why, and not that this machine is asleep
            self.close(NO_MEMBER if fault.code is Code.NOT_A_MEMBER else fault.why)
            return
        if not self._host.settle(self):
            self.close(TWO_MACHINES if self.is_clone else REPLACED)
            return
        self.machine.accept(monotonic_ms())
        self.carrier.at_once = self._read_at_once
        self._arm()
        self._sending.wake()

    def say(self, frame: Frame) -> None:
        """Send a frame before all envelopes; a peer that does not read what it is told is let go."""
        try:
            self._sending.say(frame)
        except PeerFault as fault:
            self.close(f"refused: {fault.why}")

    def _dealt_with(self, size: int) -> None:
        for effect in self.machine.taken(size):
            self._carry_out(effect)

    # writing

    def wake(self) -> None:
        """There is something new to send."""
        self._sending.wake()

    def receipted(self) -> None:
        """The other side answered for what was sent."""
        windows = [load.window for load in self._host.loads(self.peer)]
        self.machine.answered(all(window.idle for window in windows), monotonic_ms())
        if any(window.has_more for window in windows):
            self._sending.wake()

    def send_live(self, raw: bytes, wrap: Wrap = Batch) -> bool:
        """Send an envelope that is not in the outbox; False, and it is dropped, where the link is gone or far behind.

        Args:
            raw: the envelope.
            wrap: `Batch` for the peer's own, `Hold` or `Pass` for somebody else's.
        """
        return self.is_up and self._sending.add_live(raw, wrap)

    def pass_on(self, raw: bytes) -> None:
        """Send somebody else's envelope, or drop it."""
        if self._sending.has_room_to_pass(len(raw)):
            self.send_live(raw)

    @property
    def hears_pieces(self) -> bool:
        """Whether the other side reads what is said on channels outside of envelopes."""
        return self.greeted is not None and (self.greeted.hello.frames or 0) >= SAID

    def say_piece(self, piece: bytes) -> bool:
        """Send a piece of a channel with the peer; False, and it is dropped, as with `send_live`."""
        return self.is_up and self._sending.say_now(piece)

    async def room(self) -> bool:
        """Wait until there is room for another live envelope; False where the link has ended."""
        await self._sending.room()
        return not self.ended.is_set()

    @property
    def _may_send(self) -> bool:
        # a link that gives way to another must not take from the window they share
        return self.is_up and not self._stop.is_set()

    # time

    def _arm(self) -> None:
        deadline = self.machine.next_deadline()
        if self._timer is not None:
            if deadline is not None and self._timer.when() * 1000 <= deadline + 1:
                return
            self._timer.cancel()
        if deadline is not None:
            delay = max(deadline - monotonic_ms(), 0) / 1000
            self._timer = asyncio.get_running_loop().call_later(delay, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self.is_up:
            for load in self._host.loads(self.peer):
                if not load.window.idle:
                    load.window.resend(monotonic_ms())
                    self._sending.wake()
        try:
            for effect in self.machine.tick(monotonic_ms(), self.carrier.arrived):
                self._carry_out(effect)
        except CarrierClosed as closed:
            self.close(str(closed))
        self._arm()

    def check_now(self) -> None:
        """The machine woke, or the network changed: ask at once whether the other side lives."""
        for effect in self.machine.check_now(monotonic_ms(), self.carrier.arrived):
            self._carry_out(effect)
        self._arm()

    def ask(self) -> bool:
        """Ping now; False where an earlier ping is not answered yet."""
        effects = self.machine.ping_now(monotonic_ms(), self.carrier.arrived)
        for effect in effects:
            self._carry_out(effect)
        self._arm()
        return bool(effects)

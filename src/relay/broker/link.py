"""One link: the shell around `core.link`, from the hello to the end.

It moves bytes and keeps time; it decides nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque

from relay.broker.arrivals import Arrivals
from relay.broker.carrier import Carrier, CarrierClosed
from relay.broker.greeting import Greeted, Greeter
from relay.broker.host import Host, Load
from relay.broker.live import LiveQueue, Wrap
from relay.core import ids
from relay.core.errors import Code, PeerFault, RelayError
from relay.core.frames import Batch, Bye, Frame, HelloFrame, Hold, pack_frame, unpack_frame
from relay.core.hello import Judgement
from relay.core.ids import BrokerId
from relay.core.link import (
    RECEIVE_WINDOW,
    Answered,
    Claim,
    Close,
    Effect,
    Forget,
    Granted,
    Greet,
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
        self.machine = LinkMachine(monotonic_ms())
        self.rtt_ms: int | None = None
        self.greeted: Greeted | None = None
        self.since = time.time_ns() // 1_000_000
        self.ended = asyncio.Event()
        self.answered = asyncio.Event()  # the next answer to a ping; another one after it
        self.reason = ""
        self._greeter = greeter
        self._host = host
        self._live = LiveQueue()
        self._more = asyncio.Event()
        self._arrivals = Arrivals(host, self.peer, self._say, self.close, self._dealt_with)
        self._timer: asyncio.TimerHandle | None = None
        self._control: deque[bytes] = deque()
        self._stop = asyncio.Event()
        self._goodbye: asyncio.Task[None] | None = None

    @property
    def peer(self) -> BrokerId:
        """Who is at the other end, by its TLS key."""
        return ids.broker_id(self.carrier.peer_public)

    @property
    def claim(self) -> Claim:
        """What decides between this link and another of the same pair."""
        assert self.greeted is not None
        own = self.carrier.dialled
        dialler = self._greeter.binding(self.carrier.peer_public, own).dialler
        return Claim(self.greeted.hello.incarnation, ids.digest_of(dialler))

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
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read())
                group.create_task(self._write())
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
        self._arrivals.cancel()
        self._live.over()
        self.ended.set()
        self._tell_answered()

    async def let_go(self) -> None:
        """Close the connection of a link that has ended; with a silent other side that takes 2 s."""
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
        self._control.append(pack_frame(HelloFrame(hello)))
        self._more.set()
        self._arm()
        while True:
            message = await self.carrier.receive()
            for effect in self.machine.receive(unpack_frame(message), monotonic_ms()):
                self._carry_out(effect)

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Send(frame):
                self._control.append(pack_frame(frame))
                self._more.set()
            case Greet(hello):
                self._greet(hello)
            case Take() | Keep() | PassOn():
                self._arrivals.deal_with(effect)
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
                self._more.set()
            case Close(reason):
                raise CarrierClosed(reason)

    def _greet(self, hello: bytes) -> None:
        try:
            self.greeted = self._greeter.judge(hello, self.carrier.peer_public, self.carrier.dialled)
        except PeerFault as fault:
            if fault.code is not Code.PROTOCOL_VERSION:
                raise
            _log.warning("no link to %s: %s", ids.short(self.peer), fault.why)
            self.close(fault.why)
            return
        if not self._host.settle(self):
            self.close(TWO_MACHINES if self.is_clone else REPLACED)
            return
        self.machine.accept(monotonic_ms())
        self._arm()
        self._more.set()

    def _give_way(self, reason: str) -> None:
        self._control.append(pack_frame(Bye(reason)))
        self.close(reason)

    def _say(self, frame: Frame) -> None:
        self._control.append(pack_frame(frame))
        self._more.set()

    def _dealt_with(self, size: int) -> None:
        for effect in self.machine.taken(size):
            self._carry_out(effect)

    # writing

    def wake(self) -> None:
        """There is something new to send."""
        self._more.set()

    def receipted(self) -> None:
        """The other side answered for what was sent."""
        self.machine.answered(all(load.window.idle for load in self._host.loads(self.peer)), monotonic_ms())
        self._more.set()

    def send_live(self, raw: bytes, wrap: Wrap = Batch) -> None:
        """Send an envelope that is not in the outbox; dropped where the link is gone or too far behind.

        Args:
            raw: the envelope.
            wrap: `Batch` for the peer's own, `Hold` or `Pass` for somebody else's.
        """
        if self.is_up and self._live.add(raw, wrap):
            self._more.set()

    def pass_on(self, raw: bytes) -> None:
        """Send somebody else's envelope, or drop it: half of what the peer takes is kept for what is its own."""
        if self._live.bytes + len(raw) <= self.machine.credit - RECEIVE_WINDOW // 2:
            self.send_live(raw)

    async def room(self) -> bool:
        """Wait until there is room for another live envelope; False where the link has ended."""
        await self._live.room()
        return not self.ended.is_set()

    async def _write(self) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            while self._control:
                await self.carrier.send(self._control.popleft())
            if self._may_send:
                await self._write_envelopes()

    @property
    def _may_send(self) -> bool:
        # a link that gives way to another must not take from the window they share
        return self.is_up and not self._stop.is_set()

    async def _write_envelopes(self) -> None:
        more = True
        while more and self._may_send:
            more = await self._send_some_live()
            for load in self._host.loads(self.peer):
                more |= await self._send_some(load)

    async def _send_some(self, load: Load) -> bool:
        """Send a batch of these; whether there was one."""
        while self._control:
            await self.carrier.send(self._control.popleft())
        if load.window.wants_more:
            await load.refill()
        rows = load.window.take(self.machine.credit, monotonic_ms()) if self._may_send else []
        if not rows:
            return False
        if not all(row.tried for row in rows):
            rows = await load.mark_tried(rows)
        if rows:
            wrap = Hold if load.for_another else Batch
            await self._send_batch(wrap, [row.raw for row in rows], awaits_receipt=True)
        return True

    async def _send_some_live(self) -> bool:
        wrap, batch = self._live.next()
        if batch:
            await self._send_batch(wrap, batch, awaits_receipt=False)
        return bool(batch)

    async def _send_batch(self, wrap: Wrap, batch: list[bytes], *, awaits_receipt: bool) -> None:
        self.machine.sent(sum(map(len, batch)), monotonic_ms(), awaits_receipt=awaits_receipt)
        self._arm()
        await self.carrier.send(pack_frame(wrap(tuple(batch))))

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
                load.window.resend(monotonic_ms())
        try:
            for effect in self.machine.tick(monotonic_ms()):
                self._carry_out(effect)
        except CarrierClosed as closed:
            self.close(str(closed))
        self._more.set()
        self._arm()

    def check_now(self) -> None:
        """The machine woke, or the network changed: ask at once whether the other side lives."""
        for effect in self.machine.check_now(monotonic_ms()):
            self._carry_out(effect)
        self._arm()

    def ask(self) -> bool:
        """Ping now; False where an earlier ping is not answered yet."""
        effects = self.machine.ping_now(monotonic_ms())
        for effect in effects:
            self._carry_out(effect)
        self._arm()
        return bool(effects)

"""What goes out over one link, and in which order: control frames, then what is live, then durable rows.

What a peer does not read costs bounded memory: durable rows wait in their windows for credit, what is live is
dropped, and who lets control frames pile up is not kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from relay.broker.carrier import Carrier
from relay.broker.host import Load
from relay.broker.live import LiveQueue, Wrap
from relay.core import ids
from relay.core.delivery import Outgoing
from relay.core.errors import LocalFault, PeerFault
from relay.core.frames import MAX_BATCH_BYTES, Batch, Frame, Hold, Pong, Said, pack_frame
from relay.core.ids import BrokerId
from relay.core.link import RECEIVE_WINDOW, LinkMachine

MAX_CONTROL, MAX_CONTROL_BYTES = 1_024, 1 << 20
STORE_AGAIN_S = 1.0  # how long rows wait whose sending could not be noted
_log = logging.getLogger(__name__)


class Sending:
    """The writing half of a link.

    Args:
        carrier: moves its messages.
        machine: counts credit and what is unanswered.
        peer: who is at the other end.
        loads: what there is to carry.
        may_send: whether envelopes may go out now.
        arm: called when the machine's deadline may have changed.
        now: monotonic milliseconds.
    """

    def __init__(
        self,
        carrier: Carrier,
        machine: LinkMachine,
        peer: BrokerId,
        loads: Callable[[], list[Load]],
        may_send: Callable[[], bool],
        arm: Callable[[], None],
        now: Callable[[], int],
    ) -> None:
        self._carrier = carrier
        self._machine = machine
        self._peer = peer
        self._loads = loads
        self._may_send = may_send
        self._arm = arm
        self._now = now
        self._live = LiveQueue()
        self._more = asyncio.Event()
        self._control: deque[bytes] = deque()
        self._control_bytes = 0
        self._pong: bytes | None = None
        self._rests = False
        self._envelopes = False  # whether there may be more than control frames: an idle link has only pings

    def wake(self) -> None:
        """There may be something new to send."""
        self._envelopes = True
        self._more.set()

    def say(self, frame: Frame) -> None:
        """Send a frame before all envelopes; of answers to pings the last one only.

        Raises:
            PeerFault: the other side has not read what was said before.
        """
        raw = pack_frame(frame)
        if isinstance(frame, Pong):
            self._pong = raw
        else:
            self._control.append(raw)
            self._control_bytes += len(raw)
        self._more.set()
        if len(self._control) > MAX_CONTROL or self._control_bytes > MAX_CONTROL_BYTES:
            raise PeerFault("a link was given up", why="the other side does not read what it is told")

    def add_live(self, raw: bytes, wrap: Wrap) -> bool:
        """Queue an envelope that is sent once or never; False, and it is dropped, where too many wait."""
        added = self._live.add(raw, wrap)
        self.wake()
        return added

    def say_now(self, piece: bytes) -> bool:
        """Send a piece of a channel, at once where nothing waits before it; False, and it is dropped, as `add_live`."""
        at_once = self._live.is_empty and self._may_send() and self._machine.credit > len(piece)
        if at_once and self._carrier.send_now(pack_frame(Said((piece,)))):
            self._machine.sent(len(piece), self._now(), awaits_receipt=False)
            return True
        return self.add_live(piece, Said)

    def has_room_to_pass(self, size: int) -> bool:
        """Whether somebody else's envelope may go: half of what the peer takes is kept for what is its own."""
        return self._live.bytes + size <= self._machine.credit - RECEIVE_WINDOW // 2

    async def room(self) -> None:
        """Wait until there is room for another live envelope."""
        await self._live.room()

    def over(self) -> None:
        """The link has ended: nobody need wait any more."""
        self._live.over()

    async def run(self) -> None:
        """Send what there is, until cancelled.

        Raises:
            CarrierClosed: the connection was lost.
        """
        while True:
            await self._more.wait()
            self._more.clear()
            if self._control or self._pong is not None:
                await self._send_control()
            more, self._envelopes = self._envelopes, False
            while more and self._may_send():
                more = await self._send_some_live()
                for load in self._loads():
                    more |= await self._send_some(load)

    async def _send_control(self) -> None:
        while self._control or self._pong is not None:
            if self._pong is not None:
                pong, self._pong = self._pong, None
                await self._carrier.send(pong)
            if self._control:
                raw = self._control.popleft()
                self._control_bytes -= len(raw)
                await self._carrier.send(raw)

    async def _send_some(self, load: Load) -> bool:
        """Send a batch of these; whether there may be another one: what is posted later wakes this link."""
        if self._control or self._pong is not None:
            await self._send_control()
        window = load.window
        if self._rests or not window.has_more:
            return False
        try:
            if window.wants_more:
                await load.refill()
            taken = window.take(self._machine.credit, self._now()) if self._may_send() else []
            rows = taken if all(row.tried for row in taken) else await self._marked(load, taken)
        except LocalFault as fault:
            self._rest(fault)
            return False
        if rows:
            wrap = Hold if load.for_another else Batch
            await self._send_batch(wrap, [row.raw for row in rows], awaits_receipt=True)
        return bool(taken) and window.has_more

    async def _marked(self, load: Load, taken: list[Outgoing]) -> list[Outgoing]:
        try:
            return await load.mark_tried(taken)
        except LocalFault:
            load.window.untake(taken)
            raise

    def _rest(self, fault: LocalFault) -> None:
        """This broker's own disk stands in the way: the link stays, so that what comes in still can."""
        _log.error("nothing is sent to %s for now: %s %s", ids.short(self._peer), fault.message, fault.why)
        self._rests = True
        asyncio.get_running_loop().call_later(STORE_AGAIN_S, self._go_on)

    def _go_on(self) -> None:
        self._rests = False
        self.wake()

    async def _send_some_live(self) -> bool:
        if self._machine.credit <= MAX_BATCH_BYTES - RECEIVE_WINDOW:
            return False  # as much again as the credit is out already: more would end the link
        wrap, batch = self._live.next()
        if batch:
            await self._send_batch(wrap, batch, awaits_receipt=False)
        return not self._live.is_empty

    async def _send_batch(self, wrap: Wrap, batch: list[bytes], *, awaits_receipt: bool) -> None:
        self._machine.sent(sum(map(len, batch)), self._now(), awaits_receipt=awaits_receipt)
        self._arm()
        frame = pack_frame(wrap(tuple(batch)))
        if not self._carrier.send_now(frame):
            await self._carrier.send(frame)

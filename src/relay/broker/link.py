"""One link: the shell around `core.link`, from the hello to the end.

It moves bytes and keeps time; it decides nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from relay.broker.carrier import Carrier, CarrierClosed
from relay.broker.greeting import Greeted, Greeter
from relay.core import ids
from relay.core.delivery import Outgoing, Window
from relay.core.errors import Code, PeerFault, RelayError
from relay.core.frames import MAX_BATCH, MAX_BATCH_BYTES, Batch, Bye, HelloFrame, pack_frame, unpack_frame
from relay.core.hello import Judgement
from relay.core.ids import BrokerId
from relay.core.link import Claim, Close, Effect, Granted, Greet, LinkMachine, LinkState, RoundTrip, Send, Take

MAX_LIVE = 2_000
ROOM_LIVE = 64
CLOSE_WITHIN = 2.0
REPLACED = "replaced"
TWO_MACHINES = "two machines show this identity"
_log = logging.getLogger(__name__)


def monotonic_ms() -> int:
    """The clock of links: milliseconds that only grow."""
    return time.monotonic_ns() // 1_000_000


class Host(Protocol):
    """What a link needs of the mesh around it."""

    def settle(self, link: Link) -> bool:
        """Whether this newly greeted link may live; another of the same pair gives way or stays."""

    async def take(self, link: Link, envelopes: Sequence[bytes]) -> None:
        """Take envelopes in; returns when they were dealt with."""

    def window(self, peer: BrokerId) -> Window:
        """What is on its way to that peer."""

    async def refill(self, peer: BrokerId) -> None:
        """Read more of the outbox into the window."""

    async def mark_tried(self, peer: BrokerId, rows: Sequence[Outgoing]) -> list[Outgoing]:
        """Make it durable that these rows may have been sent; those that still may be."""


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
        self.reason = ""
        self._greeter = greeter
        self._host = host
        self._live: deque[bytes] = deque()
        self._more = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._taking: set[asyncio.Task[None]] = set()
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
            await self._ended()

    def _note_fault(self, group: BaseExceptionGroup[RelayError]) -> None:
        fault = group.exceptions[0]
        if isinstance(fault, RelayError):
            self.reason = self.reason or f"{fault.message}: {fault.why}"
        _log.warning("link to %s (%s): %s", ids.short(self.peer), self.carrier.address, self.reason)

    async def _ended(self) -> None:
        self.machine.state = LinkState.CLOSED
        if self._timer is not None:
            self._timer.cancel()
        for task in self._taking:
            task.cancel()
        self._room.set()
        if self._goodbye is not None:
            # said before the carrier closes: a peer that hears nothing shows this broker as gone without a word
            await asyncio.wait([self._goodbye])
        self.ended.set()
        with contextlib.suppress(TimeoutError, CarrierClosed):
            async with asyncio.timeout(CLOSE_WITHIN):
                await self.carrier.close()

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
            case Take(envelopes):
                self._take(envelopes)
            case RoundTrip(ms):
                self.rtt_ms = ms
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

    def _take(self, envelopes: tuple[bytes, ...]) -> None:
        task = asyncio.get_running_loop().create_task(self._taken(envelopes))
        self._taking.add(task)
        task.add_done_callback(self._taking.discard)

    async def _taken(self, envelopes: tuple[bytes, ...]) -> None:
        try:
            await self._host.take(self, envelopes)
        except PeerFault as fault:
            self.close(f"refused: {fault.message}")
        except RelayError as error:
            # not receipted, so the other side sends it again; a store that cannot commit must not end the link
            _log.error("envelopes of %s were not taken in: %s %s", ids.short(self.peer), error.message, error.why)
        except Exception:
            _log.exception("envelopes of %s were not taken in", ids.short(self.peer))
        for effect in self.machine.taken(sum(map(len, envelopes))):
            self._carry_out(effect)

    # writing

    def wake(self) -> None:
        """There is something new to send."""
        self._more.set()

    def receipted(self) -> None:
        """Receipts of the other side were taken in."""
        self.machine.answered(self._host.window(self.peer).idle, monotonic_ms())
        self._more.set()

    def send_live(self, raw: bytes) -> None:
        """Send an envelope that is not kept; dropped where the link is gone or too far behind."""
        if self.is_up and len(self._live) < MAX_LIVE:
            self._live.append(raw)
            if len(self._live) >= ROOM_LIVE:
                self._room.clear()
            self._more.set()

    async def room(self) -> bool:
        """Wait until there is room for another live envelope; False where the link has ended."""
        await self._room.wait()
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
        window = self._host.window(self.peer)
        while self._may_send:
            while self._control:
                await self.carrier.send(self._control.popleft())
            if window.wants_more:
                await self._host.refill(self.peer)
            if not self._may_send:
                return
            live, rows = self._next_live(), window.take(self.machine.credit, monotonic_ms())
            if not live and not rows:
                return
            for batch in (live, [row.raw for row in await self._marked(rows)]):
                if batch:
                    await self._send_batch(batch, awaits_receipt=batch is not live)

    async def _marked(self, rows: list[Outgoing]) -> list[Outgoing]:
        if all(row.tried for row in rows):
            return rows
        return await self._host.mark_tried(self.peer, rows)

    def _next_live(self) -> list[bytes]:
        batch: list[bytes] = []
        size = 0
        while self._live and len(batch) < MAX_BATCH and size + len(self._live[0]) <= MAX_BATCH_BYTES:
            batch.append(self._live.popleft())
            size += len(batch[-1])
        if len(self._live) < ROOM_LIVE // 2:
            self._room.set()
        return batch

    async def _send_batch(self, batch: list[bytes], *, awaits_receipt: bool) -> None:
        self.machine.sent(sum(map(len, batch)), monotonic_ms(), awaits_receipt=awaits_receipt)
        self._arm()
        await self.carrier.send(pack_frame(Batch(tuple(batch))))

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
            self._host.window(self.peer).resend(monotonic_ms())
        try:
            for effect in self.machine.tick(monotonic_ms()):
                self._carry_out(effect)
        except CarrierClosed as closed:
            self.close(str(closed))
        self._more.set()
        self._arm()

    def check_now(self) -> None:
        """The machine woke, or the network changed: ask at once whether the other side lives."""
        for effect in self.machine.ping_now(monotonic_ms()):
            self._carry_out(effect)
        self._arm()

"""One simulated link: what `broker.link` does around `LinkMachine`, step by step instead of task by task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relay.core.delivery import Outgoing
from relay.core.errors import PeerFault
from relay.core.frames import MAX_BATCH, Batch, Bye, Custody, Frame, HelloFrame, Hold, Taken
from relay.core.link import (
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
    Send,
    Take,
)
from relay.testing.simulator.disk import FAILED, Tables
from relay.testing.simulator.network import End

if TYPE_CHECKING:
    from relay.testing.simulator.broker import SimBroker
    from relay.testing.simulator.ways import SimLoad


def claim_bytes(broker: int) -> bytes:
    """A broker's id as it stands in claims."""
    return broker.to_bytes(32, "big")


class SimLink:
    """One end's link.

    Args:
        broker: whose.
        end: of the connection.
        peer: who is at the other end.
        dialled: whether this side made the connection.
    """

    def __init__(self, broker: SimBroker, end: End, peer: int, dialled: bool) -> None:
        self.broker = broker
        self.end = end
        self.peer = peer
        self.ended = False
        self.machine = LinkMachine(broker.line.now, leads=dialled)
        self.incarnation = 0
        self._arrived = 0
        self._dialler = claim_bytes(broker.number if dialled else peer)
        self._live: list[tuple[bool, bytes]] = []
        self._writing = False
        self._timer: int | None = None
        end.receive, end.lost = self.receive, self.over
        end.send(HelloFrame(broker.seam.keep((broker.disk.tables.incarnation, broker.roster.head))))
        self._arm()

    @property
    def claim(self) -> Claim:
        """What decides between two links of one pair."""
        return Claim(self.incarnation, self._dialler)

    @property
    def is_up(self) -> bool:
        """Whether both hellos are through."""
        return self.machine.state is LinkState.UP

    # ending

    def close(self, reason: str) -> None:
        """Say goodbye and end."""
        self.end.send(Bye(reason))
        self.over()

    def over(self) -> None:
        """It has ended."""
        if not self.ended:
            self.ended = True
            self.machine.state = LinkState.CLOSED
            self.end.close()
            self.broker.gone(self)

    # reading

    def receive(self, frame: Frame) -> None:
        """A frame arrived."""
        try:
            self._arrived += 1
            for effect in self.machine.receive(frame, self.broker.line.now):
                self._carry_out(effect)
        except PeerFault:
            self.over()

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Send(frame):
                self.end.send(frame)
            case Greet(hello):
                self._greet(hello)
            case Take(envelopes):
                self.broker.take(self, envelopes)
            case Keep(envelopes):
                self.broker.keeping.keep(self, envelopes)
            case Answered(answers):
                self.broker.ways.answered(self.peer, answers)
                self.receipted()
            case Forget(envelopes):
                self.broker.keeping.taken(self.peer, envelopes)
                self.receipted()
            case Granted():
                self.pump()
            case Close():
                self.over()

    def _greet(self, hello: bytes) -> None:
        self.incarnation, head = self.broker.seam.open(hello)
        if not self.broker.settle(self):
            self.close("replaced")
            return
        self.machine.accept(self.broker.line.now)
        self._arm()
        self.broker.greeted(self, head)
        self.pump()

    def taken(self, size: int) -> None:
        """Envelopes were dealt with."""
        for effect in self.machine.taken(size):
            self._carry_out(effect)

    # writing

    def say_custody(self, answers: list[tuple[bytes, str]]) -> None:
        """Tell what became of what was to be kept."""
        self.end.send(Custody(tuple(answers)))

    def say_taken(self, envelopes: list[bytes]) -> None:
        """Tell what need be kept no longer."""
        if envelopes:
            self.end.send(Taken(tuple(envelopes)))

    def send_live(self, raw: bytes, *, for_another: bool = False) -> None:
        """Send what is not durable here."""
        self._live.append((for_another, raw))
        self.pump()

    def receipted(self) -> None:
        """The other side answered for what was sent."""
        self.machine.answered(all(load.window.idle for load in self.broker.loads(self.peer)), self.broker.line.now)
        self.pump()

    def pump(self) -> None:
        """Send what there is, unless that is under way."""
        if not self._writing:
            self._write()

    def _write(self) -> None:
        self._writing = True
        more = True
        while more and self.is_up:
            self._send_live()
            more = False
            for load in self.broker.loads(self.peer):
                if load.window.wants_more:
                    load.refill(self._write)
                    return
                rows = load.window.take(self.machine.credit, self.broker.line.now)
                if not all(row.tried for row in rows):
                    self._mark(load, rows)
                    return
                self._send(load, rows)
                more = more or bool(rows)
        self._writing = False

    def _mark(self, load: SimLoad, rows: list[Outgoing]) -> None:
        unmarked = {row.id for row in rows if not row.tried}

        def mark(tables: Tables) -> set[bytes]:
            standing = unmarked & tables.outbox.keys()
            for each in standing:
                tables.outbox[each].tried = True
            return standing

        self.broker.disk.submit(mark, lambda standing: self._marked(load, rows, unmarked, standing), may_fail=True)

    def _marked(self, load: SimLoad, rows: list[Outgoing], unmarked: set[bytes], standing: Any) -> None:
        if self.ended:
            return
        if standing is FAILED:
            # the real one ends the link: what cannot be marked must not be sent
            self.over()
            return
        load.window.drop(unmarked - standing)
        self._send(load, [row for row in rows if row.tried or row.id in standing])
        self._write()

    def _send_live(self) -> None:
        if not self._live:
            return
        live, self._live = self._live, []
        for wrap, for_another in ((Batch, False), (Hold, True)):
            raws = [raw for asked, raw in live if asked is for_another]
            for at in range(0, len(raws), MAX_BATCH):
                self._batch(wrap, raws[at : at + MAX_BATCH], awaits_receipt=False)

    def _send(self, load: SimLoad, rows: list[Outgoing]) -> None:
        if rows:
            self._batch(Hold if load.for_another else Batch, [row.raw for row in rows], awaits_receipt=True)

    def _batch(self, wrap: type[Batch] | type[Hold], raws: list[bytes], *, awaits_receipt: bool) -> None:
        self.machine.sent(sum(map(len, raws)), self.broker.line.now, awaits_receipt=awaits_receipt)
        self._arm()
        self.end.send(wrap(tuple(raws)))

    # time

    def _arm(self) -> None:
        deadline = self.machine.next_deadline()
        if deadline is not None and (self._timer is None or deadline < self._timer):
            self._timer = deadline
            self.broker.line.after(max(deadline - self.broker.line.now, 0), self._tick, deadline)

    def _tick(self, deadline: int) -> None:
        if deadline != self._timer or self.ended:
            return
        self._timer = None
        now = self.broker.line.now
        if self.is_up:
            for load in self.broker.loads(self.peer):
                load.window.resend(now)
        for effect in self.machine.tick(now, self._arrived):
            self._carry_out(effect)
        self.pump()
        self._arm()

    def check_now(self) -> None:
        """Ask at once whether the other side lives."""
        for effect in self.machine.check_now(self.broker.line.now, self._arrived):
            self._carry_out(effect)
        self._arm()

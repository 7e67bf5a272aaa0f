"""What `broker.outbox`, `broker.custody` and `broker.handing` do, over a simulated disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relay.core.delivery import Outgoing, Window
from relay.core.errors import PeerFault
from relay.core.routing import SILENT_AFTER, Neighbour, choose, hand_over_again
from relay.core.ways import Ways
from relay.testing.simulator.disk import FAILED, Held, Mail, Row, Tables
from relay.testing.simulator.world import mail_id

if TYPE_CHECKING:
    from relay.core.ids import BrokerId
    from relay.testing.simulator.broker import SimBroker
    from relay.testing.simulator.link import SimLink

PAGE = 4  # rows a read of the store, so that a window is often incomplete
LOOK_EVERY = 15_000
HOLDABLE = frozenset({"spawn", "stop", "snapshot", "receipt"})
Then = Callable[[], None]


@dataclass(frozen=True, slots=True)
class SimLoad:
    """Rows that go over one link, as `broker.host.Load`."""

    window: Window
    for_another: bool
    refill: Callable[[Then], None]


class SimOutbox:
    """The outbox at work.

    Args:
        broker: whose.
    """

    def __init__(self, broker: SimBroker) -> None:
        self._broker = broker
        self._ways: Ways[int] = Ways()
        self._tried: dict[int, list[BrokerId]] = {}
        self._away_since: dict[int, int] = {}
        self._is_looking = False
        self._made: dict[tuple[int, int], SimLoad] = {}

    def open(self) -> None:
        """Recall for whom there is something, and what of it holders keep."""
        for row in self._broker.disk.tables.outbox.values():
            self.window(row.mail.recipient)
            if row.holder is not None:
                self._ways.remember_held(row.mail.recipient, mail_id(row.mail))
                self._look_later()

    def window(self, recipient: int) -> Window:
        """What is on its way to that broker."""
        return self._ways.window(recipient)

    def way(self, recipient: int) -> int | None:
        """Whom something for that broker goes to."""
        broker = self._broker
        if broker.is_linked(recipient):
            self._tried.pop(recipient, None)
            return recipient
        linked = [peer for peer in sorted(broker.links) if broker.is_linked(peer)]
        neighbours = [Neighbour(_named(peer), broker.world.brokers[peer].always_on, False) for peer in linked]
        present = self._ways.way(recipient)
        chosen = choose(neighbours, self._tried.get(recipient, ()), None if present is None else _named(present))
        return None if chosen is None else int(chosen)

    def posted(self, recipient: int, outgoing: Outgoing) -> None:
        """A row was committed."""
        self.window(recipient).offer(outgoing)
        self._route(recipient)
        self._wake(recipient)

    def _wake(self, recipient: int) -> None:
        way = self._ways.way(recipient)
        if way is not None and way in self._broker.links:
            self._broker.links[way].pump()

    def loads(self, peer: int) -> list[SimLoad]:
        """What goes over the link to that peer."""
        return [self._load(each, peer) for each in self._ways.over(peer)]

    def _load(self, recipient: int, peer: int) -> SimLoad:
        found = self._made.get((recipient, peer))
        if found is None:
            found = SimLoad(self.window(recipient), recipient != peer, self._refill(recipient))
            self._made[recipient, peer] = found
        return found

    def linked(self, peer: int) -> None:
        """A link came up."""
        self.window(peer)
        self.reroute()

    def reroute(self) -> None:
        """A link came or went."""
        for recipient in self._ways.recipients:
            self._route(recipient)

    def link_lost(self, peer: int) -> None:
        """Nothing in flight over that link can be counted on."""
        self._ways.link_lost(peer)

    def _route(self, recipient: int) -> None:
        if self._ways.turn(recipient, self.way(recipient)):
            self._wake(recipient)

    def answered(self, holder: int, answers: Iterable[tuple[bytes, str]]) -> None:
        """A holder says what became of rows it was handed."""
        now = self._broker.line.now
        for found in self._ways.answered(holder, answers):
            self._note_held(holder, found.kept, now)

    def _note_held(self, holder: int, kept: list[bytes], now: int) -> None:
        def note(tables: Tables) -> None:
            for row in (tables.outbox[each] for each in kept if each in tables.outbox):
                row.holder, row.held_at, row.handed = holder, now, row.handed + 1

        if kept:
            # once it is noted: a look before that would find nothing, and be the last
            self._broker.disk.submit(note, lambda _: self._look_later())

    def _refill(self, recipient: int) -> Callable[[Then], None]:
        def read_page() -> list[Outgoing]:
            unheld = self._ways.is_by_holder(recipient)
            rows = [row for row in self._broker.disk.tables.outbox.values() if row.mail.recipient == recipient]
            window = self.window(recipient)
            rows = [row for row in rows if row.n > window.last and not (unheld and row.holder is not None)]
            rows.sort(key=lambda row: row.n)
            return [Outgoing(row.n, mail_id(row.mail), row.raw, row.tried) for row in rows[:PAGE]]

        return lambda then: _refill(self._broker, self.window(recipient), read_page, then)

    # handing over once more

    def _look_later(self) -> None:
        # the real one looks all the time; here that would be most of the events of a quiet world
        if not self._is_looking:
            self._is_looking = True
            self._broker.later(LOOK_EVERY, self._look)

    def _look(self) -> None:
        broker = self._broker
        self._is_looking = False
        rows = [row for row in broker.disk.tables.outbox.values() if row.holder is not None]
        if not rows:
            self._away_since = {}
            return
        self._look_later()
        away = {row.holder for row in rows if row.holder is not None and not broker.is_linked(row.holder)}
        self._away_since = {each: self._away_since.get(each, broker.line.now) for each in sorted(away)}
        due = [row for row in rows if self._is_due(row)]
        for recipient in sorted({row.mail.recipient for row in due}):
            found = [row for row in due if row.mail.recipient == recipient]
            self._again(recipient, [row for row in found if row.holder == found[0].holder])

    def _is_due(self, row: Row) -> bool:
        broker, recipient = self._broker, row.mail.recipient
        if row.holder is None or broker.is_linked(recipient):
            return False
        if broker.line.now - row.held_at >= hand_over_again(row.handed):
            return True
        since = self._away_since.get(row.holder)
        silent = since is not None and broker.line.now - since >= SILENT_AFTER
        return silent and row.handed <= 1 and self.way(recipient) not in (None, row.holder)

    def _again(self, recipient: int, rows: list[Row]) -> None:
        if rows[0].holder is not None:
            holder = _named(rows[0].holder)
            self._tried[recipient] = [*(each for each in self._tried.get(recipient, ()) if each != holder), holder]
        ids = [mail_id(row.mail) for row in rows]

        def release(tables: Tables) -> None:
            for row in (tables.outbox[each] for each in ids if each in tables.outbox):
                row.holder = None

        def released(_: object) -> None:
            self.window(recipient).begin_anew()
            self._route(recipient)
            self._wake(recipient)

        self._broker.disk.submit(release, released)


class Keeping:
    """What a broker keeps for others.

    Args:
        broker: whose.
    """

    def __init__(self, broker: SimBroker) -> None:
        self._broker = broker
        self._windows: dict[int, Window] = {}

    def open(self) -> None:
        """Recall for whom something is kept."""
        for held in self._broker.disk.tables.held.values():
            self._windows.setdefault(held.mail.recipient, Window())

    def keep(self, link: SimLink, raws: Sequence[bytes]) -> None:
        """Keep a peer's envelopes for others, and say so when that is durable."""
        broker = self._broker
        mails: list[Mail] = [broker.seam.open(raw) for raw in raws]
        if any(mail.origin != link.peer for mail in mails):
            raise PeerFault("an envelope was not kept")

        def decide(tables: Tables) -> list[Outgoing]:
            new = []
            for mail, raw in zip(mails, raws, strict=True):
                if mail.n not in tables.held and mail.kind in HOLDABLE:
                    tables.last_n += 1
                    tables.held[mail.n] = Held(tables.last_n, mail, raw)
                    new.append(Outgoing(tables.last_n, mail_id(mail), raw, tried=True))
            return new

        def kept(outcome: Any) -> None:
            if outcome is not FAILED:
                self._offer(mails, outcome)
            if not link.ended:
                if outcome is not FAILED:
                    link.say_custody([(mail_id(mail), "") for mail in mails])
                link.taken(sum(map(len, raws)))

        broker.disk.submit(decide, kept, may_fail=True)

    def _offer(self, mails: list[Mail], rows: list[Outgoing]) -> None:
        recipients = {mail_id(mail): mail.recipient for mail in mails}
        for row in rows:
            recipient = recipients[row.id]
            self._windows.setdefault(recipient, Window()).offer(row)
            if recipient in self._broker.links:
                self._broker.links[recipient].pump()

    def loads(self, peer: int) -> list[SimLoad]:
        """What goes over the link to that peer."""
        if peer not in self._windows:
            return []

        def read_page() -> list[Outgoing]:
            held = [each for each in self._broker.disk.tables.held.values() if each.mail.recipient == peer]
            rows = sorted((each for each in held if each.n > self._windows[peer].last), key=lambda each: each.n)
            return [Outgoing(row.n, mail_id(row.mail), row.raw, tried=True) for row in rows[:PAGE]]

        window = self._windows[peer]
        return [SimLoad(window, False, lambda then: _refill(self._broker, window, read_page, then))]

    def taken(self, recipient: int, envelopes: Iterable[bytes]) -> None:
        """Its recipient has these, or never will."""
        window = self._windows.get(recipient)
        done = {int.from_bytes(each, "big") for each in (window.receipted(envelopes) if window else ())}

        def forget(tables: Tables) -> None:
            for each in done & tables.held.keys():
                del tables.held[each]

        self._broker.disk.submit(forget)

    def link_lost(self, peer: int) -> None:
        """Nothing in flight over that link can be counted on."""
        if peer in self._windows:
            self._windows[peer].link_lost()


def _refill(broker: SimBroker, window: Window, read_page: Callable[[], list[Outgoing]], then: Then) -> None:
    """Read more of the store: it answers with what it had some time ago."""
    missed, turn = window.missed, window.turn

    def read() -> None:
        broker.later(broker.line.between(0, 3), answer, read_page())

    def answer(page: list[Outgoing]) -> None:
        if window.turn == turn:
            window.refill(page, end=not page and window.missed == missed)
        then()

    broker.later(broker.line.between(0, 2), read)


def _named(broker: int) -> BrokerId:
    # the core compares ids; here a number stands for one
    return str(broker)  # type: ignore[return-value]

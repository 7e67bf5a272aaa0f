"""One simulated broker: what mesh, outbox, inbox and dispatch do around the core, over a simulated disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from relay.core.backoff import Backoff
from relay.core.delivery import Outgoing
from relay.core.errors import PeerFault
from relay.core.link import replaces
from relay.core.roster import Roster
from relay.core.statements import Statement
from relay.core.states import State
from relay.testing.simulator.disk import FAILED, Copy, Disk, Mail, Row, Tables, Then
from relay.testing.simulator.link import SimLink
from relay.testing.simulator.target import Target
from relay.testing.simulator.ways import HOLDABLE, Keeping, SimLoad, SimOutbox
from relay.testing.simulator.world import SimEntry, World, mail_id, roster_of

Decide = Callable[[SimEntry], Any]


class SimBroker:
    """A broker.

    Args:
        world: where it lives.
        number: its name.
        failing: the chance that a commit of its disk fails.
    """

    make_keeping = Keeping

    def __init__(self, world: World, number: int, failing: float) -> None:
        self.world, self.number = world, number
        self.line, self.seam, self.oracle = world.line, world.seam, world.oracle
        self.disk = Disk(world.line, failing)
        self.target = Target(self)
        self.life = 0
        self.is_running = False
        self.links: dict[int, SimLink] = {}
        self.open_links: list[SimLink] = []
        self.roster: Roster
        self.head = b""
        self.always_on = False
        self.ways = SimOutbox(self)
        self.keeping = self.make_keeping(self)
        self._backoffs: dict[int, Backoff] = {}
        self._dialling: set[int] = set()

    # coming and going

    def boot(self) -> None:
        """Start, with what the disk has."""
        self.is_running = True
        self.disk.tables.incarnation += 1
        self._use(self.disk.tables)
        self.ways.open()
        self.keeping.open()
        self.target.recover()
        for other in self.world.brokers:
            if other is not self:
                self._backoffs[other.number] = Backoff()
                self._dial_after(other.number, self.line.between(0, 3))

    def crash(self, *, silently: bool) -> None:
        """End at once.

        Args:
            silently: peers hear nothing: the power went. Else the system closes the connections.
        """
        self.life += 1
        self.is_running = False
        self.disk.crash()
        if silently:
            self.world.network.power_lost(self.number)
        for link in self.open_links:
            link.ended = True
            link.end.close()
        self.open_links, self.links = [], {}
        self.ways, self.keeping, self._dialling = SimOutbox(self), self.make_keeping(self), set()

    def later(self, delay: int, happening: Callable[..., None], *args: Any) -> None:
        """Let something happen, unless this broker crashes before."""
        life = self.life

        def happens() -> None:
            if life == self.life:
                happening(*args)

        self.line.after(delay, happens)

    # dialling

    def _dial_after(self, peer: int, delay: int) -> None:
        if peer not in self._dialling:
            self._dialling.add(peer)
            self.later(delay, self._dial, peer)

    def _dial(self, peer: int) -> None:
        self._dialling.discard(peer)
        if self.is_linked(peer):
            return
        other = self.world.brokers[peer]
        connection = self.world.network.connect(self.number, peer) if other.is_running else None
        if connection is None:
            self._dial_after(peer, self._backoffs[peer].wait(self.line.random.random()))
            return
        other.open_links.append(SimLink(other, connection.listener, self.number, dialled=False))
        self.open_links.append(SimLink(self, connection.dialler, peer, dialled=True))

    def gone(self, link: SimLink) -> None:
        """A link has ended."""
        if link in self.open_links:
            self.open_links.remove(link)
        if self.links.get(link.peer) is link:
            del self.links[link.peer]
            self._lost(link.peer)
            self.ways.reroute()
        if link.peer not in self.links:
            backoff, now = self._backoffs[link.peer], self.line.now
            if at_once := backoff.may_hurry(now, now - link.machine.opened):
                backoff.reset()
            self._dial_after(link.peer, 0 if at_once else backoff.wait(self.line.random.random()))

    # what a link asks

    def is_linked(self, peer: int) -> bool:
        """Whether a link to that peer is up."""
        link = self.links.get(peer)
        return link is not None and link.is_up

    def _lost(self, peer: int) -> None:
        self.ways.link_lost(peer)
        self.keeping.link_lost(peer)

    def loads(self, peer: int) -> list[SimLoad]:
        """What there is to carry over the link to that peer."""
        return [*self.ways.loads(peer), *self.keeping.loads(peer)]

    def settle(self, link: SimLink) -> bool:
        """Whether a newly greeted link may live."""
        present = self.links.get(link.peer)
        if present is not None and not replaces(present.claim, link.claim, self.line.now - present.machine.opened):
            present.check_now()
            return False
        self.links[link.peer] = link
        if present is not None:
            present.close("replaced")
            self._lost(link.peer)
        return True

    def greeted(self, link: SimLink, head: bytes) -> None:
        """A link is up."""
        self._backoffs[link.peer].reset()
        self.ways.linked(link.peer)
        if head != self.head:
            self._tell_roster(link.peer)

    # taking in

    def take(self, link: SimLink, raws: Sequence[bytes]) -> None:
        """Envelopes came over a link."""
        mails = [mail for mail in map(self._opened, raws) if mail is not None]
        if len(mails) < len(raws) and not self.world.brokers[link.peer].always_on:
            raise PeerFault("an envelope was refused")
        size = sum(map(len, raws))
        durable = [mail for mail in mails if mail.operation]
        for mail in mails:
            if not mail.operation:
                self._hear(mail)
        link.say_taken([mail_id(mail) for mail in mails if not mail.operation and mail.origin != link.peer])
        if durable:
            self.take_durable(link, durable, size)
        else:
            link.taken(size)

    def _opened(self, raw: bytes) -> Mail | None:
        try:
            mail: Mail = self.seam.open(raw)
        except PeerFault:
            return None
        return mail if mail.recipient == self.number else None

    def take_durable(self, link: SimLink, mails: list[Mail], size: int) -> None:
        """Take in and answer: what a planted bug replaces."""

        def taken(outcome: Any) -> None:
            if not link.ended:
                if outcome is not FAILED:
                    self.answer(mails, link.peer)
                    link.say_taken([mail_id(mail) for mail in mails if mail.origin != link.peer])
                link.taken(size)

        self.take_in(mails, taken)

    def take_in(self, mails: list[Mail], then: Then) -> None:
        """Dedupe and act, in one transaction: what a planted bug replaces."""

        def decide(entry: SimEntry) -> None:
            for mail in mails:
                if self.is_new(entry.tables, mail):
                    self.act(entry, mail)

        self.commit(decide, then, may_fail=True)

    def is_new(self, tables: Tables, mail: Mail) -> bool:
        """Remember an envelope and its operation; whether it is to act."""
        effect = (mail.origin, f"{mail.kind}/{mail.operation}")
        new = mail.n not in tables.seen and effect not in tables.effects
        tables.seen.add(mail.n)
        tables.effects.add(effect)
        return new

    def act(self, entry: SimEntry, mail: Mail) -> None:
        """What an envelope does here."""
        self.oracle.acted(self.number, mail)
        if mail.kind == "spawn":
            self.target.spawn(entry, mail)
        elif mail.kind == "stop":
            self.target.stop(entry, mail)
        else:
            self._copy(entry.tables, mail)

    def _copy(self, tables: Tables, mail: Mail) -> None:
        copy, word = tables.copies[mail.spawn], mail.content
        if word.order > copy.order:
            before = copy.order
            tables.copies[mail.spawn] = copy = Copy(word.state, word.order, word)
            self.oracle.copied(mail.spawn, before, copy)

    def answer(self, mails: Iterable[Mail], giver: int | None = None) -> None:
        """Receipt envelopes, over whoever handed them over where their origin is not linked."""
        for origin in sorted({mail.origin for mail in mails}):
            self._say(origin, "receipt", [mail_id(mail) for mail in mails if mail.origin == origin], giver)

    def _say(self, peer: int, kind: str, content: object, giver: int | None = None) -> None:
        linked = giver is not None and self.is_linked(giver) and not self.is_linked(peer)
        way = giver if linked else self.ways.way(peer)
        if way is not None and (way == peer or kind in HOLDABLE):
            self.world.mails += 1
            mail = Mail(self.world.mails, self.number, peer, kind, content=content)
            self.links[way].send_live(self.seam.keep(mail), for_another=way != peer)

    def _hear(self, mail: Mail) -> None:
        if mail.kind == "receipt":
            self._receipted(mail.origin, mail.content)
        else:
            self.learn(mail.content)

    def _receipted(self, peer: int, ids: list[bytes]) -> None:
        self.ways.window(peer).receipted(ids)
        if peer in self.links:
            self.links[peer].receipted()

        def close(tables: Tables) -> None:
            for each in ids:
                row = tables.outbox.get(each)
                if row is not None and row.mail.recipient == peer:
                    del tables.outbox[each]
                    self.oracle.receipted(row.mail)
                    copy = tables.copies.get(row.mail.spawn)
                    if row.mail.kind == "spawn" and copy is not None and copy.order == (0, 0):
                        copy.state = State.DELIVERED

        self.disk.submit(close)

    def commit(self, decide: Decide, then: Then | None = None, *, may_fail: bool = False) -> None:
        """Run a transaction, then carry out what it decided."""
        entries: list[SimEntry] = []

        def operation(tables: Tables) -> Any:
            entries.append(SimEntry(tables))
            return decide(entries[0])

        def told(outcome: Any) -> None:
            for entry in entries:
                for recipient, outgoing in entry.posted:
                    self.ways.posted(recipient, outgoing)
                for callback in entry.following:
                    callback()
            if then is not None:
                then(outcome)

        self.disk.submit(operation, told, may_fail=may_fail)

    def post(self, entry: SimEntry, recipient: int, kind: str, spawn: str, operation: str, content: object) -> None:
        """Put an envelope into the outbox."""
        tables = entry.tables
        self.world.mails += 1
        tables.last_n += 1
        mail = Mail(self.world.mails, self.number, recipient, kind, operation, spawn, content)
        raw = self.seam.keep(mail, padding=self.line.between(0, 60_000))
        tried = self.ways.way(recipient) is not None
        tables.outbox[mail_id(mail)] = Row(tables.last_n, mail, raw, tried)
        self.oracle.posted()
        entry.posted.append((recipient, Outgoing(tables.last_n, mail_id(mail), raw, tried)))

    def order(self, spawn: str, target: int) -> None:
        """Accept a spawn for another broker."""

        def decide(entry: SimEntry) -> None:
            entry.tables.copies[spawn] = Copy()
            self.post(entry, target, "spawn", spawn, spawn, None)
            self.oracle.accepted[spawn] = (self.number, target)

        self.commit(decide)

    def cancel(self, spawn: str, target: int) -> None:
        """Stop a spawn: take it back where it was never sent, else ask its target."""

        def decide(entry: SimEntry) -> None:
            tables = entry.tables
            rows = [(each, row) for each, row in tables.outbox.items() if row.mail.spawn == spawn]
            if spawn not in tables.copies or tables.copies[spawn].state is State.CANCELLED:
                return
            if any(row.mail.kind == "spawn" and not row.tried for _, row in rows):
                for each, row in rows:
                    del tables.outbox[each]
                    self.oracle.withdrew(row.mail)
                tables.copies[spawn].state = State.CANCELLED
            elif not any(row.mail.kind == "stop" for _, row in rows):
                self.post(entry, target, "stop", spawn, f"stop-{self.world.mails}", None)

        self.commit(decide)

    def learn(self, statements: Iterable[Statement]) -> None:
        """Take statements in; where they were new, all links hear of them."""
        new = [each for each in statements if each.previous + each.subject.encode() not in self.disk.tables.statements]
        if not new:
            return
        def decide(entry: SimEntry) -> None:
            for each in new:
                entry.tables.statements[each.previous + each.subject.encode()] = each
            entry.following.append(self._spread)

        self.commit(decide)

    def _spread(self) -> None:
        self._use(self.disk.tables)
        for peer in list(self.links):
            self._tell_roster(peer)

    def _use(self, tables: Tables) -> None:
        self.roster = roster_of(self.world.root_public, tables.statements)
        self.head = self.roster.head

    def _tell_roster(self, peer: int) -> None:
        self._say(peer, "roster", list(self.disk.tables.statements.values()))

"""What follows when a link comes or goes: peers are remembered, rosters are brought together, clones are frozen."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from relay.api.durations import spoken
from relay.broker.allowed import Grants
from relay.broker.auditor import REFUSED, Auditor, Decision
from relay.broker.checkup import check
from relay.broker.clocks import Clocks
from relay.broker.dialler import Dialler
from relay.broker.greeting import Greeted
from relay.broker.inbox import Hear, Opened
from relay.broker.link import NO_MEMBER, REVOKED, Link, monotonic_ms
from relay.broker.members import Members
from relay.broker.mesh import Mesh
from relay.broker.presence import Attendance, Presence, farewell_of, was_turned_away
from relay.broker.roster import RosterKeeper
from relay.broker.roster_exchange import RosterExchange, Surroundings
from relay.core import ids
from relay.core.addresses import usable_addresses
from relay.core.backoff import CALM
from relay.core.errors import LocalFault, PeerFault
from relay.core.hello import MAX_ADDRESSES, Judgement
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.rationing import Bucket
from relay.core.roster import Roster
from relay.store import held, outbox, peers, records
from relay.store.journal import Entry, Journal

CLONED_HINT = (
    "on the copy: relay down; relay identity new makes it a broker of its own;"
    " if its intake was stopped, on the machine that stays: relay identity keep;"
    " then here: relay trust allow {name}"
)
SIGHTS_AT_ONCE, SIGHTS_PER_SECOND = 5, 1 / 600  # of a second machine with one identity, where no grant is frozen by it
_log = logging.getLogger(__name__)


def skewed(skew_ms: int) -> str:
    """A clock's difference from this machine's, in words."""
    amount = spoken(abs(skew_ms) / 1000)
    return f"its clock is {amount} {'ahead of' if skew_ms > 0 else 'behind'} this machine's"


def _keep_all(entry: Entry, peer: BrokerId) -> None:
    """Nothing ends with what is dropped."""


def _drop(entry: Entry, peer: BrokerId) -> None:
    outbox.drop_for(entry.tx, peer)
    held.drop_for(entry.tx, peer)
    records.forget(entry.tx, peer)
    records.rename(entry.tx, peer, None)


class Membership:
    """Keeps peers, roster and dialler in step with the links.

    Args:
        members: the roster in use.
        keeper: its statements.
        mesh: the links.
        dialler: told whom to reach.
        journal: where peers are remembered.
        auditor: the audit log.
        grants: where a clone's grant is frozen.
        attendance: told when a peer was there.
        clocks: told of the time of each peer.
        behind: told of a later start of this broker that a peer has seen (0 for none but the hellos'), after each
            hello: its store may be an older copy.

    Attributes:
        on_gone: called in the transaction that drops what is kept for a member that was put out, before it does.
    """

    def __init__(
        self,
        members: Members,
        keeper: RosterKeeper,
        mesh: Mesh,
        dialler: Dialler,
        journal: Journal,
        auditor: Auditor,
        grants: Grants,
        attendance: Attendance,
        clocks: Clocks,
        behind: Callable[[int], Awaitable[None]],
    ) -> None:
        self._members = members
        self._keeper = keeper
        self._mesh = mesh
        self._dialler = dialler
        self._journal = journal
        self._auditor = auditor
        self._grants = grants
        self._attendance = attendance
        self._clocks = clocks
        self._behind = behind
        self.on_gone: Callable[[Entry, BrokerId], None] = _keep_all
        self._clones: dict[BrokerId, tuple[int, bytes]] = {}
        self._sights: dict[BrokerId, Bucket] = {}
        self._work: set[asyncio.Task[None]] = set()
        self._look: asyncio.TimerHandle | None = None
        self._exchange = RosterExchange(self._surroundings(), monotonic_ms)
        keeper.connect(self._roster_changed)

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            book=self._keeper.book,
            head=lambda: self._members.roster.head,
            has_gap=lambda: self._keeper.has_gap,
            say=self._mesh.say,
            linked=lambda: [link.peer for link in self._mesh.up],
            take=lambda peer, raws: self._go(self._take_roster(peer, raws)),
            remind=self._look_later,
        )

    @property
    def hears(self) -> dict[Kind, Hear]:
        """By kind."""
        return {Kind.ROSTER: self._roster_heard}

    def behind(self, seen: int) -> None:
        """A peer holds this broker's word from a later start than the present one."""
        self._go(self._found_behind(seen))

    async def _found_behind(self, seen: int) -> None:
        await self._behind(seen)

    def link_changed(self, link: Link, up: bool) -> None:
        """A link came up or ended."""
        farewell = "" if up else farewell_of(link.reason)
        seen = self._attendance.changed(link.peer, farewell, 0 if up else link.silent_for)
        lost = not up and not was_turned_away(link)
        # what a person ends here by an edit may be as young as it likes: it says nothing of the peer
        lasted = CALM if link.reason == REVOKED else link.lasted
        self._dialler.link_changed(link.peer, at_once=lost, lasted=lasted)
        if up and link.greeted is not None:
            self._exchange.linked(link.peer, link.greeted.hello.roster_head)
            self._go(self._greeted(link, link.greeted))
        else:
            self._exchange.unlinked(link.peer)
            self._go(self._gone(link.peer, farewell, seen))

    def clone_turned_away(self, link: Link) -> None:
        """A second machine with a peer's identity came while the first was linked."""
        if link.greeted is not None:
            self._go(self._freeze(link.greeted))

    def is_cloned(self, peer: BrokerId) -> bool:
        """Whether two machines were seen with this identity, and no later start of it since."""
        return peer in self._clones

    def findings(self) -> list[dict[str, Any]]:
        """The lines of `relay doctor` on clocks and on identities."""
        off = {peer: each.skew for peer, each in self._clocks.linked().items() if not each.agrees}
        told = [f"{self._members.name(peer)}: {skewed(skew)}" for peer, skew in off.items()]
        jumped = self._clocks.jumped_alone
        if jumped:
            told.append(f"this machine's clock is more than 7 d {jumped} than when it was last believed")
        if jumped or self._clocks.are_contradicted:
            told.append("nothing is called expired, and nothing is purged")
        hint = "set the clock of the machine that is wrong: timedatectl set-ntp true"
        clones = [self._members.name(peer) for peer in self._clones]
        seen_twice = f"two machines show the identity of {', '.join(clones)}" if clones else "one machine each"
        return [
            check("clocks", not told, "; ".join(told) or "within 5 min of the linked brokers'", hint),
            check("identities", not clones, seen_twice, CLONED_HINT.format(name=clones[0] if clones else "")),
            self._audit_logs(),
        ]

    def _audit_logs(self) -> dict[str, Any]:
        heads = self._auditor.heads
        lost = [(self._members.name(peer), seq) for peer, seq, ok in heads.held if not ok]
        told = [f"this one lacks entry {seq}, which {name} holds signed" for name, seq in lost]
        if self._auditor.lost is not None:
            told.append(f"this one lost entry {self._auditor.lost.seq} while this broker ran")
        told += [f"that of {self._members.name(peer)} was cut" for peer in heads.cut_elsewhere]
        return check("audit logs", not told, "; ".join(told) or "as the linked brokers saw them", "relay audit verify")

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, LocalFault):
            _log.error("what is known of a member was not written down: %s: %s", error.message, error.why)
        elif error is not None:
            _log.error("work on a link failed", exc_info=error)

    async def _greeted(self, link: Link, greeted: Greeted) -> None:
        hello, peer = greeted.hello, greeted.peer
        skew = self._clocks.greeted(peer, hello.clock_ms)
        await self._behind(0)
        if greeted.judgement is Judgement.CLONED:
            await self._freeze(greeted)
        elif greeted.judgement is Judgement.NEWER:
            self._clones.pop(peer, None)
        await self._journal.commit(lambda entry: self._remember(entry, link, greeted, skew))

    def _remember(self, entry: Entry, link: Link, greeted: Greeted, skew: int) -> None:
        hello = greeted.hello
        changes: dict[str, Any] = {"last_seen": entry.now, "clock_skew_ms": skew, "farewell": ""}
        if greeted.judgement is Judgement.NEWER:
            changes |= {"incarnation": hello.incarnation, "nonce": hello.nonce, "start_proof": hello.start}
        if addresses := usable_addresses(link.carrier.address, hello.addresses):
            # what was dialled has worked, so that it is tried first after a restart
            worked = (link.carrier.address,) if link.carrier.dialled else ()
            changes["addresses"] = tuple(dict.fromkeys((*worked, *addresses)))[:MAX_ADDRESSES]
        peers.change(entry.tx, greeted.peer, **changes)
        self._auditor.greeted(entry, hello)
        entry.event("broker.link", {"broker": greeted.peer, "link": "direct"})
        entry.event("broker.presence", {"broker": greeted.peer, "presence": Presence.ONLINE})

    async def _gone(self, peer: BrokerId, farewell: str, seen: int) -> None:
        def decide(entry: Entry) -> None:
            peers.note_seen(entry.tx, peer, seen, farewell)
            entry.event("broker.link", {"broker": peer, "link": None})
            entry.event("broker.presence", {"broker": peer, "presence": farewell or None})

        await self._journal.commit(decide)

    async def _freeze(self, greeted: Greeted) -> None:
        peer, start = greeted.peer, (greeted.hello.incarnation, greeted.hello.nonce)
        known = self._clones.get(peer) == start or not self._may_be_noted(peer)
        self._clones[peer] = start
        name = self._members.name(peer)
        # each time: its owner here may have allowed it again, while the second machine is still about
        try:
            if not await asyncio.to_thread(self._grants.freeze, peer) and known:
                return
        except LocalFault as fault:
            _log.error("the grant of %s cannot be frozen in trust.toml yet: %s", name, fault.why or fault.message)
            if known:
                return
        _log.error("two machines show the identity of %s: its grant here is frozen", name)
        detail = f"{name} was seen with an older or a second incarnation: its grant is frozen"
        decision = Decision(peer, "link", REFUSED, "grant_frozen", detail)
        await self._journal.commit(lambda entry: self._auditor.write(entry, decision))

    def _may_be_noted(self, peer: BrokerId) -> bool:
        """Whether one more sight of it is written down by itself: any member may show as many starts as it likes."""
        return self._sights.setdefault(peer, Bucket(SIGHTS_AT_ONCE, SIGHTS_PER_SECOND)).take(monotonic_ms())

    async def freeze_what_could_not_be(self) -> None:
        """Write down what trust.toml could not take when a clone was seen."""
        for peer in tuple(self._grants.to_freeze):
            with contextlib.suppress(LocalFault):
                await asyncio.to_thread(self._grants.freeze, peer)

    # the roster

    def _roster_heard(self, each: Opened) -> None:
        self._exchange.hear(each.header.origin, each.body.content)

    async def _take_roster(self, origin: BrokerId, raws: list[bytes]) -> None:
        try:
            await self._keeper.heard(raws)
        except PeerFault as fault:
            _log.warning("a roster from %s was refused: %s", ids.short(origin), fault.why)
            self._mesh.drop(origin, "refused: a roster statement")
        else:
            self._exchange.taken(origin)

    def _look_later(self, after_ms: int) -> None:
        if self._look is None:
            self._look = asyncio.get_running_loop().call_later(after_ms / 1000, self._look_now)

    def _look_now(self) -> None:
        self._look = None
        self._exchange.look()

    def _roster_changed(self, before: Roster, after: Roster) -> None:
        gone = set(before.members) - set(after.members)
        for peer in gone:
            self._mesh.drop(peer, NO_MEMBER)
            self._exchange.forget(peer)
        self._dialler.use(member.id for member in self._members.others)
        self._exchange.changed(self._keeper.take_news())
        self._go(self._follow(gone))

    async def _follow(self, gone: set[BrokerId]) -> None:
        for peer in gone:
            await self._journal.commit(partial(self._let_go, peer))
        if gone:
            self._mesh.put_out()
        await self._keeper.write_out()

    def _let_go(self, peer: BrokerId, entry: Entry) -> None:
        self.on_gone(entry, peer)
        _drop(entry, peer)

    async def close(self) -> None:
        """Finish what is under way."""
        if self._look is not None:
            self._look.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

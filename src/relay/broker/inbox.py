"""The inbox: verify, open, dedupe, act, in one transaction; then the receipt.

An envelope that is refused for a reason that will not pass (form, signature, kind, expiry) is answered with
a signed NACK and leaves nothing; one that is kept out by a failing store, or cannot be told from what was forgotten, is
answered with a notice, and comes again.

Receipts and snapshots are taken whatever their time (`KindFacts.timeless`): one that is played again closes what is
closed, or says what a later (attempt, seq) has overtaken.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from relay.api.durations import rfc3339
from relay.broker.members import Members
from relay.broker.poison import Poison, trouble_of_ours
from relay.core import ids
from relay.core.envelope import EXPIRES_LATE, MAX_LIFE_MS, Body, Envelope, Header, unpack_envelope
from relay.core.errors import Code, LocalFault, PeerFault, RelayError
from relay.core.ids import BrokerId
from relay.core.kinds import KINDS, Kind
from relay.core.values import frozen
from relay.store import inbox
from relay.store.inbox import Taken
from relay.store.journal import Entry, Journal
from relay.trust.identity import Identity
from relay.trust.sealing import open_body, verify

LIVE_SKEW_MS = 10 * 60_000
_log = logging.getLogger(__name__)


@frozen
class Opened:
    """A verified envelope with its body.

    Attributes:
        giver: the linked broker that handed it over: its origin, or one in between.
    """

    envelope: Envelope
    kind: Kind
    body: Body
    giver: BrokerId

    @property
    def header(self) -> Header:
        """The envelope's header."""
        return self.envelope.header


class Pointless(Exception):
    """What an act raises that has nothing to act on: it is receipted, and nothing is kept of it.

    Else a member could fill the store with words on spawns that nobody asked for.
    """


Act = Callable[[Entry, Opened], None]
"""What a durable kind does, inside the transaction that takes it in."""
Hear = Callable[[Opened], None]
"""What a kind that is not durable does, on the loop."""
Answer = Callable[..., object]
"""Sends a kind that is not durable: `Mesh.say`."""
Ration = Callable[[Opened], Awaitable[RelayError | None]]
"""Why an envelope is over its origin's ration, or None."""
HasTaken = Callable[[Entry, Opened], bool | None]
"""Whether what an envelope asks for, or is a word on, was taken in before; None where that may have been forgotten."""


@frozen
class _Verdict:
    receipt: bool
    nack: RelayError | None = None
    put_off: Code | None = None


async def _nothing(*_: object) -> None:
    """No ration; and nothing that is done without a disk."""


class _NeverTaken(PeerFault):
    """It is too late, and certain that it was never taken in: its origin is told so."""


class Inbox:
    """Takes envelopes in.

    Args:
        identity: opens what is sealed to it.
        members: whose envelopes count.
        journal: where effects are committed.
        answer: sends receipts and NACKs.
        acts: by durable kind.
        hears: by other kind.
        may_expire: whether this clock is believed, so that anything may be called expired.
        ration: refuses, before anything is stored, what is over its origin's ration.
        has_taken: asked of what comes too late, and of words on runs of schedules.
        ahead: an origin's clock minus this machine's, milliseconds; 0 where that is not known.
    """

    def __init__(
        self,
        identity: Identity,
        members: Members,
        journal: Journal,
        answer: Answer,
        acts: dict[Kind, Act],
        hears: dict[Kind, Hear],
        may_expire: Callable[[], bool],
        ration: Ration = _nothing,
        has_taken: HasTaken = lambda entry, each: False,
        ahead: Callable[[BrokerId], int] = lambda origin: 0,
    ) -> None:
        self._identity = identity
        self._members = members
        self._journal = journal
        self._answer = answer
        self._acts = acts
        self._hears = hears
        self._may_expire = may_expire
        self._ration = ration
        self._has_taken = has_taken
        self._ahead = ahead
        self.poison = Poison(journal.store)
        self.is_open = True
        self.on_word: Callable[[BrokerId, int], None] = lambda origin, at: None
        self.without_room: Callable[[Sequence[Opened], Code], Awaitable[None]] = _nothing

    async def take(self, raws: Sequence[bytes], giver: BrokerId) -> list[bytes]:
        """Take envelopes in, in their order; returns when their effects are durable and their receipts are under way.

        Args:
            raws: the envelopes.
            giver: who handed them over: their origin, or one that kept them for this broker.

        Returns:
            The ids of those that the giver kept, and need not keep any more.

        Raises:
            PeerFault: one of them is malformed or forged: whoever handed it over breaks the protocol.
            LocalFault: the store could not commit; nothing was taken in.
        """
        done: list[Header] = []
        opened = [each for raw in raws if (each := self._opened(unpack_envelope(raw), giver, done)) is not None]
        for header in (each.header for each in opened):
            if header.origin != giver:
                self.on_word(header.origin, header.created)
        asked = [each for each in opened if KINDS[each.kind].durable]
        durable = [each for each in asked if await self._is_within_ration(each, done)]
        for each in opened:
            if not KINDS[each.kind].durable:
                if not self._is_over(each):
                    self._hear(each, giver)
                if KINDS[each.kind].holdable:
                    done.append(each.header)
        if durable:
            await self._take_if_open(durable, done, giver)
        return [header.id for header in done if header.origin != giver]

    def _is_over(self, each: Opened) -> bool:
        # what is not durable is not remembered: an old one that comes again must not count
        left = each.header.expires + LIVE_SKEW_MS - self._journal.clock()
        # its origin's clock may be hours behind: what it says now has a time that is long over
        over = left <= 0 and left <= self._ahead(each.header.origin)
        return over and not KINDS[each.kind].timeless and self._may_expire()

    def _hear(self, each: Opened, giver: BrokerId) -> None:
        try:
            self._hears[each.kind](each)
        except PeerFault as fault:
            if each.header.origin == giver:
                raise
            # whoever handed it over could not read it
            _log.warning("%s from %s was refused: %s", each.kind, ids.short(each.header.origin), fault.why)

    async def _take_if_open(self, durable: list[Opened], done: list[Header], giver: BrokerId) -> None:
        if not self.is_open:
            self._put_off(durable, Code.INTAKE_STOPPED)
            return
        try:
            await self._take_durable(durable, done, giver)
        except LocalFault as fault:
            self._put_off(durable, fault.code)
            await self.without_room(durable, fault.code)
            raise

    async def _take_durable(self, durable: list[Opened], done: list[Header], giver: BrokerId) -> None:
        verdicts = await self._verdicts(durable)
        receipts: dict[BrokerId, list[bytes]] = {}
        for each, verdict in zip(durable, verdicts, strict=True):
            if verdict.receipt:
                receipts.setdefault(each.header.origin, []).append(each.header.id)
            elif verdict.nack is not None:
                self._refuse(each.header, verdict.nack)
            elif verdict.put_off is not None:
                self._put_off([each], verdict.put_off)
            if verdict.receipt or verdict.nack is not None:
                done.append(each.header)
        for origin, taken in receipts.items():
            self._answer(origin, Kind.RECEIPT, {"ids": taken}, giver)

    async def _verdicts(self, durable: list[Opened]) -> list[_Verdict]:
        # savepoints copy each page that is written: there is one each only where one of several fails, to find it
        try:
            return await self._journal.commit(lambda entry: [self._acted(entry, each) for each in durable])
        except Exception as error:
            if (trouble := trouble_of_ours(error)) is not None:
                raise trouble from error
            failed = error
        if len(durable) == 1:
            return [await self._journal.commit(lambda entry: self._failed(entry, durable[0].header, failed))]
        return await self._journal.commit(lambda entry: [self._act(entry, each) for each in durable])

    def _put_off(self, durable: list[Opened], code: Code) -> None:
        """Tell the origins that nothing is taken in now: it is not refused, and comes again."""
        origins: dict[BrokerId, list[bytes]] = {}
        for each in durable:
            origins.setdefault(each.header.origin, []).append(each.header.id)
        for origin, put_off in origins.items():
            self._answer(origin, Kind.NOTICE, {"ids": put_off, "code": str(code)})

    # before the transaction

    async def _is_within_ration(self, each: Opened, done: list[Header]) -> bool:
        error = await self._ration(each)
        if error is not None:
            self._answer_nack(each.header, error)
            done.append(each.header)
        return error is None

    def _opened(self, envelope: Envelope, giver: BrokerId, done: list[Header]) -> Opened | None:
        header = envelope.header
        try:
            self._check(envelope)
        except PeerFault as fault:
            if header.origin == giver:
                raise
            # a holder's fault, or its ignorance of who was put out: it is told to keep this no longer, and that is all
            name = self._members.name(giver)
            _log.warning("%s handed over what is no envelope of %s: %s", name, ids.short(header.origin), fault.why)
            done.append(header)
            return None
        try:
            return self._understood(envelope, open_body(self._identity, envelope), giver)
        except PeerFault as fault:
            # signed by its origin: a fault of the origin's, not of whoever handed it over
            self._refuse(header, fault)
            done.append(header)
            return None

    def _check(self, envelope: Envelope) -> None:
        header = envelope.header
        keys = self._members.keys(header.origin)
        if keys is None or header.recipient != self._identity.id:
            why = "it is from a stranger, or for somebody else"
            raise PeerFault("an envelope was refused", code=Code.NOT_A_MEMBER, why=why)
        verify(envelope, keys.public)

    def _understood(self, envelope: Envelope, body: Body, giver: BrokerId) -> Opened:
        name = envelope.header.kind
        if name not in Kind._value2member_map_:
            why = f"this broker does not know the kind {name!r}: it runs an older version of Relay than its sender"
            raise PeerFault("an envelope was refused", code=Code.UNKNOWN_KIND, why=why)
        kind = Kind(name)
        if missing := KINDS[kind].keys - body.content.keys():
            raise PeerFault("an envelope was refused", why=f"{kind} without {sorted(missing)[0]}")
        if unknown := set(body.critical) - KINDS[kind].keys - KINDS[kind].critical:
            raise PeerFault("an envelope was refused", why=f"{kind} with an unknown critical key {min(unknown)[:40]}")
        return Opened(envelope, kind, body, giver)

    def _refuse(self, header: Header, error: RelayError) -> None:
        if header.kind in (Kind.NACK, Kind.NOTICE, Kind.RECEIPT):
            return
        _log.warning("%s from %s refused: %s", header.kind, ids.short(header.origin), error.why or error.message)
        self.poison.refused(header, error, self._journal.clock())
        self._answer_nack(header, error)

    def _answer_nack(self, header: Header, error: RelayError) -> None:
        why = (error.why or error.message)[:500]
        content: dict[str, object] = {"id": header.id, "code": str(error.code), "why": why}
        if isinstance(error, _NeverTaken):
            content["never_taken"] = True
        self._answer(header.origin, Kind.NACK, content)

    # inside the transaction

    def _act(self, entry: Entry, each: Opened) -> _Verdict:
        mark = entry.mark()
        entry.tx.execute("SAVEPOINT envelope")
        try:
            verdict = self._acted(entry, each)
        except Exception as error:
            if (trouble := trouble_of_ours(error)) is not None:
                # it passes: nothing is taken in, and nothing is refused for good
                raise trouble from error
            entry.tx.execute("ROLLBACK TO envelope")
            entry.forget_since(mark)
            verdict = self._failed(entry, each.header, error)
        entry.tx.execute("RELEASE envelope")
        return verdict

    def _acted(self, entry: Entry, each: Opened) -> _Verdict:
        header, is_timeless = each.header, self._is_timeless(entry, each)
        expires = min(header.expires, entry.now + MAX_LIFE_MS) if is_timeless else header.expires
        taken = inbox.take(entry.tx, header.origin, header.id, each.envelope.digest, expires)
        if taken is Taken.AGAIN:
            return _Verdict(receipt=True)
        if taken is Taken.FORGED:
            raise PeerFault("an envelope was refused", code=Code.REPLAYED, why="its id was used with other bytes")
        if not is_timeless:
            if taken is Taken.STALE or (header.expires <= entry.now and self._may_expire()):
                return self._came_late(entry, each, taken)
            if header.expires > entry.now + MAX_LIFE_MS and self._may_expire():
                why = f"{EXPIRES_LATE}{_by_clock(entry.now)}"
                raise PeerFault("an envelope was refused", code=Code.EXPIRES_LATE, why=why)
        self.poison.taken(entry, header)
        if inbox.first_effect(entry.tx, header.origin, f"{each.kind}/{each.body.operation}", expires):
            self._acts[each.kind](entry, each)
        return _Verdict(receipt=True)

    def _is_timeless(self, entry: Entry, each: Opened) -> bool:
        # a word on a run of a schedule makes the run known here: an old one must not bring back what was forgotten
        makes_known = "run" in each.body.content and self._has_taken(entry, each) is not True
        return KINDS[each.kind].timeless and not makes_known

    def _came_late(self, entry: Entry, each: Opened, taken: Taken) -> _Verdict:
        before = self._has_taken(entry, each)
        if before:
            return _Verdict(receipt=True)
        if each.header.expires > entry.now or not self._may_expire():
            return _Verdict(receipt=False, put_off=Code.UNSURE)
        certain = before is False and taken is Taken.FRESH
        fault = _NeverTaken if certain else PeerFault
        raise fault("an envelope was refused", code=Code.EXPIRED, why=f"it has expired{_by_clock(entry.now)}")

    def _failed(self, entry: Entry, header: Header, error: Exception) -> _Verdict:
        if isinstance(error, Pointless):
            return _Verdict(receipt=True)
        if isinstance(error, RelayError):
            return _Verdict(receipt=False, nack=error)
        return _Verdict(receipt=False, nack=self.poison.failed(entry, header, error))


def _by_clock(now: int) -> str:
    # two clocks differ where nothing was slow: whoever reads it can see which one is wrong
    return f"; its recipient's clock shows {rfc3339(now)}"

"""Who may have which blob: offers made here, offers taken in here, and the recipient's word on what came of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from relay.broker.auditor import REFUSED, Auditor, Decision, refusal
from relay.broker.blobs import faults
from relay.broker.blobs.library import Library
from relay.broker.gate import Gate
from relay.broker.inbox import Act, Opened, Pointless
from relay.broker.members import Members
from relay.core.blobs import is_address, is_blob_name, is_size
from relay.core.errors import Code, Misuse, PeerFault, Refused, RelayError, from_json
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.store import blobs
from relay.store.blobs import KEEP_ENDED_MS, Blob, Need, NeedState, Reference
from relay.store.journal import Entry, Letter

DAY_MS = 86_400_000
MAX_TTL_MS = 30 * DAY_MS
ANSWER_TTL_MS = 7 * DAY_MS
MAX_WANTED = 1_000
_WORDS = {"whole": NeedState.DELIVERED, "refused": NeedState.REFUSED, "failed": NeedState.FAILED}


class Offers:
    """Makes offers, takes them in, and keeps their ends.

    Args:
        members: names.
        gate: who may push blobs here.
        auditor: the audit log.
        library: the quota.
        retention: how long a blob that came is kept, milliseconds.
    """

    def __init__(
        self, members: Members, gate: Gate, auditor: Auditor, library: Library, retention: int
    ) -> None:
        self._members = members
        self._gate = gate
        self._auditor = auditor
        self._library = library
        self._retention = retention
        self._on_wanted: Callable[[bytes], None] = lambda blob: None
        self._on_ended: Callable[[bytes, BrokerId], None] = lambda blob, peer: None
        self.on_over: Callable[[Entry, Reference], None] = lambda entry, wanted: None

    def connect(self, on_wanted: Callable[[bytes], None], on_ended: Callable[[bytes, BrokerId], None]) -> None:
        """Say who pulls what was taken in, and who stops serving what has ended."""
        self._on_wanted, self._on_ended = on_wanted, on_ended

    @property
    def acts(self) -> dict[Kind, Act]:
        """By kind."""
        return {Kind.BLOB_OFFER: self._offered, Kind.BLOB_ANSWER: self._answered}

    # at the origin

    def offer(
        self, entry: Entry, blob: Blob, recipient: BrokerId, name: str, ttl: int, operation: str
    ) -> Reference:
        """Let a broker pull a blob, and tell it so.

        Args:
            entry: the transaction.
            blob: whole, here.
            recipient: who may pull it.
            name: what people call it.
            ttl: how long it may, milliseconds.
            operation: the client's.

        Raises:
            Misuse: the recipient is no member.
            LocalFault: `outbox_full`.
        """
        content = {"blob": blob.hash, "size": blob.size, "name": name, "expires": entry.now + ttl}
        if not entry.post(Letter(recipient, Kind.BLOB_OFFER, content, operation, ttl)):
            raise Misuse("that broker is no member any more", code=Code.UNKNOWN_BROKER, hint="relay brokers")
        return self.allow(entry, blob, recipient, name, ttl, operation)

    def allow(
        self, entry: Entry, blob: Blob, recipient: BrokerId, name: str, ttl: int, operation: str
    ) -> Reference:
        """Let a broker pull a blob that it is told of by other means; as `offer`, without the envelope."""
        until = entry.now + ttl
        made = Reference(
            blob.hash, Need.OFFER, recipient, name, blob.size, NeedState.OPEN, until, entry.now, operation
        )
        blobs.refer(entry.tx, made)
        self.tell(entry, made, NeedState.OPEN)
        return made

    def _answered(self, entry: Entry, each: Opened) -> None:
        content, peer = each.body.content, each.header.origin
        word = _WORDS.get(content["state"]) if type(content["state"]) is str else None
        if word is None or not is_address(content["blob"]):
            raise PeerFault("an answer to an offer was refused", why="it has another form")
        known = blobs.ONE.one(entry.tx, hash=content["blob"], need=str(Need.OFFER), peer=peer)
        if known is None:
            raise Pointless
        if known.state is not NeedState.OPEN:
            return
        self._ended(entry, known, word, None if word is NeedState.DELIVERED else _told(content.get("error")))

    def refused_by_peer(self, entry: Entry, operation: str, error: RelayError) -> None:
        """The recipient answered an offer with a NACK: it never took it."""
        known = blobs.BY_OPERATION.one(entry.tx, operation=operation)
        if known is not None and known.state is NeedState.OPEN:
            self._ended(entry, known, NeedState.REFUSED, error)

    def _ended(self, entry: Entry, offer: Reference, state: NeedState, error: RelayError | None) -> None:
        blobs.turn(entry.tx, offer, state, entry.now + KEEP_ENDED_MS, error.to_json() if error else None)
        if state is NeedState.REFUSED and error is not None:
            detail = f"{_detail(offer.blob, offer.name, offer.size)} was refused there: {error.message[:300]}"
            self._auditor.write(entry, Decision(offer.peer, "push", REFUSED, str(error.code), detail))
        self.tell(entry, offer, state)
        entry.then(lambda: self._on_ended(offer.blob, offer.peer))

    # at the recipient

    def _offered(self, entry: Entry, each: Opened) -> None:
        offer = _read(each, entry.now)
        detail = _detail(offer.blob, offer.name, offer.size)
        try:
            self._gate.require(offer.peer, "push", False, entry.now)
            self._require_room(entry, offer)
        except RelayError as error:
            self._auditor.write(entry, refusal(offer.peer, "push", error, detail))
            self.answer(entry, offer, "refused", error)
            return
        self._auditor.write(entry, Decision(offer.peer, "push", detail=detail))
        self._take(entry, offer)

    def _require_room(self, entry: Entry, offer: Reference) -> None:
        known = blobs.BY_HASH.one(entry.tx, hash=offer.blob)
        if known is not None and known.size != offer.size:
            raise Refused(
                "that is not its size",
                code=Code.CONFLICT,
                why="it was offered here with another size",
                hint="send the file again: relay blob send",
            )
        if known is None:
            self._library.require_quota(entry.tx, offer.size, f"on {self._members.own_name}: ")
        if (blobs.WANTED_FROM.one(entry.tx, peer=offer.peer) or 0) >= MAX_WANTED:
            why = f"{MAX_WANTED} of its blobs are under way here already"
            raise Refused("too many blobs at once", code=Code.TOO_MANY, why=why, hint="wait until some have arrived")

    def _take(self, entry: Entry, offer: Reference) -> None:
        blobs.add(entry.tx, Blob(offer.blob, offer.size, False, 0, entry.now))
        known = blobs.BY_HASH.one(entry.tx, hash=offer.blob)
        blobs.refer(entry.tx, offer)
        self.tell(entry, offer, NeedState.OPEN)
        if known is not None and known.whole:
            self.arrived(entry, offer.blob)
        else:
            entry.then(lambda: self._on_wanted(offer.blob))

    def want(self, entry: Entry, wanted: Reference) -> None:
        """Want a blob that another part of this broker was told of; the part has judged whether it may come.

        Args:
            entry: the transaction.
            wanted: a download; `peer` is who has it.

        Raises:
            Refused: `blob_quota`, `too_many`, or `conflict` in its size.
        """
        self._require_room(entry, wanted)
        self._take(entry, wanted)

    def arrived(self, entry: Entry, address: bytes) -> None:
        """All of a blob is here: keep it for who wanted it, and tell who offered it."""
        for wanted in blobs.OF_BLOB.all(entry.tx, hash=address):
            if wanted.need is Need.DOWNLOAD and wanted.state is NeedState.OPEN:
                blobs.turn(entry.tx, wanted, NeedState.HERE, entry.now + self._retention)
                self.answer(entry, wanted, "whole")
                self.tell(entry, wanted, NeedState.HERE)
                self.on_over(entry, wanted)

    def end(self, entry: Entry, wanted: Reference, state: NeedState, error: RelayError) -> None:
        """A download comes to nothing.

        Args:
            entry: the transaction.
            wanted: which.
            state: `refused` or `failed`.
            error: why; its offerer is told.
        """
        if blobs.turn(entry.tx, wanted, state, entry.now + KEEP_ENDED_MS, error.to_json()):
            detail = _detail(wanted.blob, wanted.name, wanted.size)
            self._auditor.write(entry, refusal(wanted.peer, "push", error, detail))
            self.answer(entry, wanted, str(state), error)
            self.tell(entry, wanted, state)
            self.on_over(entry, wanted)

    def end_what_is_not_granted(self, entry: Entry) -> list[bytes]:
        """End the downloads from brokers that may not push here any more; their blobs."""
        ended = []
        for wanted in blobs.WANTED.all(entry.tx):
            if wanted.operation:
                continue  # not pushed here: this broker itself asked for what it was made by
            try:
                self._gate.require(wanted.peer, "push", False, entry.now)
            except Refused as error:
                self.end(entry, wanted, NeedState.REFUSED, error)
                ended.append(wanted.blob)
            except RelayError:
                break  # a broken trust.toml grants nothing new, and ends nothing
        return ended

    def answer(self, entry: Entry, wanted: Reference, state: str, error: RelayError | None = None) -> None:
        """Tell who offered a blob what came of it."""
        content: dict[str, Any] = {"blob": wanted.blob, "state": state}
        if error is not None:
            content["error"] = error.to_json()
        # one word an offer: the last one counts, and the same word twice is one
        operation = f"{wanted.blob.hex()[:32]}.{wanted.created}.{state}"
        entry.post(Letter(wanted.peer, Kind.BLOB_ANSWER, content, operation, ANSWER_TTL_MS))

    def tell(self, entry: Entry, reference: Reference, state: NeedState) -> None:
        """Tell subscribers how it stands with a need."""
        data = {"blob": reference.blob.hex(), "name": reference.name, "need": str(reference.need)}
        entry.event("blob.changed", data | {"state": str(state), "broker": reference.peer})


def _read(each: Opened, now: int) -> Reference:
    content, header = each.body.content, each.header
    blob, size, name, expires = (content[key] for key in ("blob", "size", "name", "expires"))
    # by the sender's own clock, so that its being wrong shortens nothing
    ttl = expires - header.created if type(expires) is int else 0
    if not (is_address(blob) and is_size(size) and is_blob_name(name)) or not 0 < ttl <= MAX_TTL_MS:
        raise PeerFault("an offer was refused", why="it has another form")
    return Reference(blob, Need.DOWNLOAD, header.origin, name, size, NeedState.OPEN, now + ttl, now)


def _told(error: object) -> RelayError:
    if not isinstance(error, dict):
        return Refused("its recipient gave it up", code=Code.INTERNAL, hint="send the file again: relay blob send")
    return from_json({key: str(error.get(key, ""))[:300] for key in ("code", "message", "why", "hint")})


def _detail(blob: bytes, name: str, size: int) -> str:
    return f"{faults.short(blob)} {name} ({size} bytes)"[:400]

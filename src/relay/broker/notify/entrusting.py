"""Channels that are told over from other brokers, and the words that go between those.

    owner ── entrust (address, rules; sealed to that broker as every envelope is) ──► via ── answer ──► owner
    target ── word (voucher of the owner, snapshot of the target) ──► via
    whoever told ── told (event) ──► the others, so that nobody tells it again

Who may be told of from here: whoever has the verb `notify` here by name, at the entrusting and at each telling. A
word counts where its owner signed the voucher, and its target the snapshot, so that nobody else can have it said.
"""

from __future__ import annotations

from typing import Any

from relay.broker.auditor import Auditor, Decision, refusal
from relay.broker.gate import Gate
from relay.broker.inbox import Act, Opened, Pointless
from relay.broker.members import Members
from relay.broker.notify.telling import Telling
from relay.core import ids
from relay.core.errors import Code, Misuse, PeerFault, Refused, RelayError
from relay.core.ids import BrokerId
from relay.core.kinds import Kind
from relay.core.notices import MAX_LINK, is_rules, rules_from_content
from relay.core.push import SERVICE
from relay.core.spawning import SpawnRequest, is_broker_id, snapshot_from_bytes
from relay.core.vouchers import KEY, MAX_VIA, Vouched, Voucher, signed_voucher
from relay.store import channels, deliveries
from relay.store.channels import Channel, Entrusted
from relay.store.deliveries import Delivery, Told
from relay.store.journal import Entry, Letter
from relay.store.spawn_rows import SpawnRow
from relay.trust.identity import Identity
from relay.trust.sealing import verify_snapshot
from relay.trust.vouchers import check_voucher, open_own, seal_for_self, sign_voucher

TTL = 30 * 86_400_000
MAX_ADDRESS = 2_048
MOST_OF_ONE = 16
MAX_SERVICE = 32
MAX_WHY = 600


class Entrusting:
    """Gives channels to other brokers, and takes those that others give.

    Args:
        identity: seals, signs, opens.
        members: names and keys.
        gate: who may have a person told from here.
        auditor: the audit log.
        telling: writes what is to be told.
    """

    def __init__(
        self,
        identity: Identity,
        members: Members,
        gate: Gate,
        auditor: Auditor,
        telling: Telling,
    ) -> None:
        self._identity = identity
        self._members = members
        self._gate = gate
        self._auditor = auditor
        self._telling = telling

    @property
    def acts(self) -> dict[Kind, Act]:
        """By kind."""
        return {Kind.NOTIFY_ASK: self._asked, Kind.NOTIFY: self._heard}

    def address_of(self, channel: Channel) -> str | None:
        """The address of a channel; None where it was sealed to a key that is gone."""
        opened = open_own(self._identity, channel.address)
        return None if opened is None else opened.decode()

    def sealed(self, address: str) -> bytes:
        """An address as it is kept."""
        return seal_for_self(self._identity, address.encode())

    # at the owner

    def entrust(self, entry: Entry, channel: Channel, address: str) -> None:
        """Give a channel to the brokers that are to tell in this one's stead.

        Raises:
            Misuse: one of them is no member any more.
        """
        content: dict[str, Any] = {"what": "entrust", "channel": channel.id, "name": channel.name, "address": address}
        content |= {"service": channel.service, "rules": channel.rules.to_content(), "full": channel.full}
        content |= {"link": channel.link, "instead_of": channel.instead_of, "via": list(channel.via)}
        for broker in channel.via:
            if not entry.post(Letter(broker, Kind.NOTIFY_ASK, content, f"entrust/{channel.id}", TTL)):
                raise Misuse("that broker is no member any more", code=Code.UNKNOWN_BROKER, hint="relay brokers")
            channels.put_entrusted(entry.tx, Entrusted(channel.id, broker, "asked", ""))

    def withdraw(self, entry: Entry, channel: Channel) -> None:
        """Take a channel back from them."""
        content = {"what": "withdraw", "channel": channel.id}
        for broker in channel.via:
            entry.post(Letter(broker, Kind.NOTIFY_ASK, content, f"withdraw/{channel.id}", TTL))

    def with_voucher(
        self, entry: Entry, request: SpawnRequest, row: SpawnRow, content: dict[str, Any]
    ) -> dict[str, Any]:
        """The body of a request, with the voucher by which others may tell of it; as it is where none do."""
        own = channels.OF_OWNER.all(entry.tx, owner=self._members.own)
        via = tuple(dict.fromkeys(broker for channel in own for broker in channel.via))[:MAX_VIA]
        if not via:
            return content
        asked = channels.ASKED.one(entry.tx, spawn=row.id) is not None
        name, agent, labels, by = request.name, request.agent, request.labels, request.requested_by
        voucher = Voucher(row.id, name, agent, labels, by, row.origin, row.target, via, asked)
        return content | {KEY: sign_voucher(self._identity, voucher).to_content()}

    def told(self, entry: Entry, channel: Channel, delivery: Delivery) -> None:
        """Tell the channel's other brokers that something was told over it."""
        if not delivery.spawn:
            return
        content = {"what": "told", "channel": channel.id, "event": delivery.event, "spawn": delivery.spawn}
        for broker in {channel.owner, *channel.via} - {self._members.own}:
            operation = f"told/{delivery.event}/{channel.id}"
            entry.post(Letter(broker, Kind.NOTIFY, content, operation, TTL))

    def failing(self, entry: Entry, channel: Channel, delivery: Delivery) -> None:
        """Tell who entrusted a channel that it does not work from here, and why."""
        if channel.owner == self._members.own or not delivery.spawn:
            return
        content = {"what": "failing", "channel": channel.id, "why": delivery.error[:MAX_WHY]}
        entry.post(Letter(channel.owner, Kind.NOTIFY, content, f"failing/{delivery.event}/{channel.id}", TTL))

    # at the target

    def keep_voucher(self, entry: Entry, each: Opened, request: SpawnRequest) -> None:
        """Keep the voucher that came with a request; one that is none, or is not its origin's, is passed over."""
        signed = signed_voucher(each.body.content.get(KEY))
        if signed is None:
            return
        try:
            voucher = check_voucher(signed, self._key_of)
        except PeerFault:
            return
        if (voucher.spawn, voucher.origin, voucher.target) == (request.id, each.header.origin, self._members.own):
            channels.keep_voucher(entry.tx, request.id, signed)

    def _key_of(self, broker: BrokerId) -> bytes | None:
        keys = self._members.keys(broker)
        return None if keys is None else keys.public

    # at those that tell

    def _asked(self, entry: Entry, each: Opened) -> None:
        content, owner = each.body.content, each.header.origin
        if not ids.is_spawn_id(content["channel"]):
            raise _fault("it names no channel")
        if content["what"] == "withdraw":
            known = channels.BY_ID.one(entry.tx, id=content["channel"])
            if known is not None and known.owner == owner:
                channels.remove(entry.tx, known.id)
            return
        if content["what"] != "entrust":
            raise _fault("it asks for what is not known here")
        channel = self._read(entry, owner, content)
        detail = f"channel {channel.name} ({channel.service})"
        try:
            self._gate.require(owner, "notify", own=False, now=entry.now)
            self._require_room(entry, channel)
        except RelayError as error:
            self._auditor.write(entry, refusal(owner, "notify", error, detail))
            self._answer(entry, owner, channel.id, error)
            return
        self._auditor.write(entry, Decision(owner, "notify", detail=detail))
        channels.put(entry.tx, channel)
        self._answer(entry, owner, channel.id, None)

    def _answer(self, entry: Entry, owner: BrokerId, channel: str, error: RelayError | None) -> None:
        why = "" if error is None else f"{error.message}; {error.hint}"
        content = {"what": "answer", "channel": channel, "accepted": error is None, "why": why[:MAX_WHY]}
        entry.post(Letter(owner, Kind.NOTIFY, content, f"entrusted/{channel}", TTL))

    def _require_room(self, entry: Entry, channel: Channel) -> None:
        known = channels.BY_ID.one(entry.tx, id=channel.id)
        if known is not None and known.owner != channel.owner:
            raise _fault("its id is another broker's")
        others = [each for each in channels.OF_OWNER.all(entry.tx, owner=channel.owner) if each.id != channel.id]
        if len(others) >= MOST_OF_ONE or any(each.name == channel.name for each in others):
            hint = f"on {self._members.name(channel.owner)}: relay notify list, and remove one"
            why = f"it keeps at most {MOST_OF_ONE} of one broker, each of another name"
            raise Refused("no more channels are taken", code=Code.TOO_MANY, why=why, hint=hint)

    def _read(self, entry: Entry, owner: BrokerId, content: dict[str, Any]) -> Channel:
        address, service, link, via = (content.get(key) for key in ("address", "service", "link", "via"))
        instead_of, full = content.get("instead_of"), content.get("full")
        fits = (
            ids.is_name(content.get("name"))
            and type(address) is str
            and 0 < len(address) <= MAX_ADDRESS
            and type(service) is str
            and address.startswith(f"{service}://")
            and len(service) <= MAX_SERVICE
            and service != SERVICE
            and type(link) is str
            and len(link) <= MAX_LINK
            and type(full) is bool
            and (instead_of is None or ids.is_spawn_id(instead_of))
            and is_rules(content.get("rules"))
            and type(via) is list
            and 0 < len(via) <= MAX_VIA
            and all(map(is_broker_id, via))
        )
        if not fits:
            raise _fault("a channel has another form")
        return Channel(
            id=str(content["channel"]),
            name=str(content["name"]),
            owner=owner,
            address=self.sealed(str(address)),
            service=str(service),
            rules=rules_from_content(content["rules"]),
            full=bool(full),
            link=str(link),
            instead_of=instead_of,
            via=tuple(via or ()),
            created=entry.now,
        )

    # what is heard

    def _heard(self, entry: Entry, each: Opened) -> None:
        acts = {"word": self._word, "told": self._told, "answer": self._answered, "failing": self._answered}
        heard = acts.get(str(each.body.content["what"]))
        if heard is None:
            raise Pointless
        heard(entry, each)

    def _word(self, entry: Entry, each: Opened) -> None:
        signed, told = signed_voucher(each.body.content.get("voucher")), each.body.content.get("snapshot")
        if signed is None or type(told) is not list or [type(part) for part in told] != [bytes, bytes]:
            raise _fault("a word has another form")
        voucher, snapshot = check_voucher(signed, self._key_of), snapshot_from_bytes(told[0])
        target = self._key_of(voucher.target)
        if target is None or (snapshot.spawn, snapshot.target) != (voucher.spawn, voucher.target):
            raise _fault("its voucher is for another spawn")
        verify_snapshot(target, told[0], told[1])
        if self._members.own not in voucher.via:
            raise Pointless
        self._telling.heard(entry, Vouched(voucher, snapshot))

    def _told(self, entry: Entry, each: Opened) -> None:
        content, by = each.body.content, each.header.origin
        channel = channels.BY_ID.one(entry.tx, id=str(content.get("channel")))
        event, spawn = content.get("event"), content.get("spawn")
        if channel is None or by not in (channel.owner, *channel.via) or not ids.is_spawn_id(spawn):
            raise Pointless
        if type(event) is not str or not 0 < len(event) <= 64:
            raise _fault("an event has another form")
        if channel.owner == self._members.own:
            channels.put_entrusted(entry.tx, Entrusted(channel.id, by, "accepted", ""))  # it works from there
        known = deliveries.ONE.one(entry.tx, event=event, channel=channel.id)
        if known is None:
            deliveries.add(entry.tx, _elsewhere(event, channel.id, str(spawn), by, entry.now))
        elif known.ended is None and known.state is not Told.SENDING:
            deliveries.tell_elsewhere(entry.tx, known, by, entry.now)

    def _answered(self, entry: Entry, each: Opened) -> None:
        content, by = each.body.content, each.header.origin
        channel = channels.BY_ID.one(entry.tx, id=str(content.get("channel")))
        if channel is None or channel.owner != self._members.own or by not in channel.via:
            raise Pointless
        state = "accepted" if content.get("accepted") is True else "refused"
        if content["what"] == "failing":
            state = "failing"
        why = content.get("why")
        told = why[:MAX_WHY] if type(why) is str else ""
        channels.put_entrusted(entry.tx, Entrusted(channel.id, by, state, told))


def _elsewhere(event: str, channel: str, spawn: str, by: BrokerId, now: int) -> Delivery:
    return Delivery(event, channel, spawn, "", "", "", "", Told.ELSEWHERE, now, 0, 0, "", now, now, by)


def _fault(why: str) -> PeerFault:
    return PeerFault("what was asked of notifications was refused", why=why)

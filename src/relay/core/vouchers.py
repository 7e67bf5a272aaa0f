"""What lets a third broker tell of a spawn: its origin's signed word that it asked for it, and who may tell.

    laptop asks mini, "and vps tells me" ──► the voucher goes along with the request ──► mini's last word, with the
    voucher, to vps as well ──► vps knows by two signatures that laptop asked, and how it ended

An older target ignores it. Signing is in `relay.trust.vouchers`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from relay.core.errors import PeerFault
from relay.core.ids import BrokerId, is_name, is_spawn_id
from relay.core.spawning import MAX_LABELS, Snapshot, is_broker_id
from relay.core.states import State
from relay.core.values import frozen
from relay.core.wire import pack, unpack

KEY = "notify"
"""Of a spawn's body: `[voucher, signature]`."""
MAX_VIA = 8
MAX_VOUCHER = 32 * 1024
SIGNATURE_BYTES = 64


@frozen
class Voucher:
    """An origin's word on a spawn that it asked another broker for.

    Attributes:
        spawn, name, agent, labels, requested_by: of the request.
        origin: who asked, and signs.
        target: who runs it.
        via: the brokers that may tell of it; at most 8.
        asked: whether it is to be told of whatever the rules.
    """

    spawn: str
    name: str
    agent: str
    labels: dict[str, str]
    requested_by: str
    origin: BrokerId
    target: BrokerId
    via: tuple[BrokerId, ...]
    asked: bool

    def to_bytes(self) -> bytes:
        """The bytes that are signed."""
        return pack([*(getattr(self, name) for name in _FIELDS[:-2]), list(self.via), self.asked])


_FIELDS = tuple(item.name for item in dataclasses.fields(Voucher))


@frozen
class SignedVoucher:
    """A voucher's bytes with its origin's signature, 64 bytes."""

    data: bytes
    signature: bytes

    def to_content(self) -> list[bytes]:
        """As it goes along in a body."""
        return [self.data, self.signature]


def signed_voucher(content: object) -> SignedVoucher | None:
    """The one in a body; None where it is none."""
    if type(content) is not list or len(content) != 2 or [type(part) for part in content] != [bytes, bytes]:
        return None
    fits = len(content[0]) <= MAX_VOUCHER and len(content[1]) == SIGNATURE_BYTES
    return SignedVoucher(*content) if fits else None


def _is_text(value: object, most: int) -> bool:
    return type(value) is str and len(value) <= most


def _are_labels(value: object) -> bool:
    if type(value) is not dict or len(value) > MAX_LABELS:
        return False
    return all(_is_text(key, 256) and _is_text(text, 4096) for key, text in value.items())


def _are_brokers(value: object) -> bool:
    return type(value) is list and 0 < len(value) <= MAX_VIA and all(map(is_broker_id, value))


def voucher_from_bytes(data: bytes) -> Voucher:
    """The voucher in these bytes.

    Raises:
        PeerFault: they have another form.
    """
    parts = unpack(data, MAX_VOUCHER)
    if type(parts) is not list or len(parts) != len(_FIELDS):
        raise _fault("it has another form")
    spawn, name, agent, labels, by, origin, target, via, asked = parts
    fits = is_spawn_id(spawn) and is_name(name) and is_name(agent) and _are_labels(labels) and _is_text(by, 256)
    if not fits or not is_broker_id(origin) or not is_broker_id(target) or not _are_brokers(via):
        raise _fault("one of its fields has another form")
    if type(asked) is not bool:
        raise _fault("one of its fields has another form")
    return Voucher(spawn, name, agent, labels, by, origin, target, tuple(via), asked)


def _fault(why: str) -> PeerFault:
    return PeerFault("a voucher was refused", why=why)


@frozen
class Vouched:
    """A spawn of others as it is told of: what its origin signed and what its target signed."""

    voucher: Voucher
    snapshot: Snapshot

    @property
    def id(self) -> str:
        """The spawn's id."""
        return self.voucher.spawn

    @property
    def name(self) -> str:
        """What it is called."""
        return self.voucher.name

    @property
    def agent(self) -> str:
        """What runs it."""
        return self.voucher.agent

    @property
    def labels(self) -> dict[str, str]:
        """As asked."""
        return self.voucher.labels

    @property
    def requested_by(self) -> str:
        """The person or client."""
        return self.voucher.requested_by

    @property
    def target(self) -> BrokerId:
        """The broker that runs it."""
        return self.snapshot.target

    @property
    def attempt(self) -> int:
        """Which try."""
        return self.snapshot.attempt

    @property
    def state(self) -> State:
        """Where it stands."""
        return self.snapshot.state

    @property
    def reason(self) -> str:
        """Why it stands there."""
        return self.snapshot.reason

    @property
    def result(self) -> dict[str, Any] | None:
        """What came of it."""
        return self.snapshot.result

    @property
    def error(self) -> dict[str, Any] | None:
        """What went wrong."""
        return self.snapshot.error

    @property
    def needs(self) -> dict[str, Any] | None:
        """What a person is asked."""
        return self.snapshot.needs

"""Envelopes sealed, signed, verified and opened: the hot path of a broker.

The libsodium bindings are called directly: 32-byte keys go in as they are, so that there is no key object to
make or to cache. What an envelope looks like is in `relay.core.envelope`.
"""

from __future__ import annotations

import functools
from dataclasses import field

from nacl import bindings
from nacl.exceptions import CryptoError

from relay.core import ids
from relay.core.envelope import (
    Body,
    Envelope,
    Header,
    authenticated,
    pack_body,
    pack_envelope,
    pack_header,
    signing_input,
    unpack_body,
)
from relay.core.errors import Code, PeerFault
from relay.core.ids import BrokerId
from relay.core.statements import Member
from relay.core.values import frozen
from relay.trust.identity import Identity, key_id_of
from relay.trust.signing import is_signed

_SNAPSHOT_DOMAIN = b"relay-snapshot/1"
_id_of = functools.lru_cache(maxsize=4096)(ids.broker_id)  # 9 of the 60 microseconds a verification takes


@frozen
class PeerKeys:
    """What one needs to seal to a broker, online or not.

    Attributes:
        id: whose.
        public: its raw Ed25519 key, 32 bytes.
        sealing_public: its X25519 key, 32 bytes.
        key_id: the name of that X25519 key in headers, 8 bytes.
    """

    id: BrokerId
    public: bytes
    sealing_public: bytes
    key_id: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key_id", key_id_of(self.sealing_public))

    @classmethod
    def of(cls, who: Member | Identity) -> PeerKeys:
        """The keys of a member of the roster, or of this broker."""
        sealing = who.sealing_public if isinstance(who, Member) else who.sealing.public
        return cls(who.id, who.public, sealing)


def seal(identity: Identity, recipient: PeerKeys, header: Header, body: Body) -> bytes:
    """An envelope ready for a link.

    Args:
        identity: the origin.
        recipient: whom to seal to.
        header: must name both, and the recipient's key.
        body: at most 250 KiB packed.

    Raises:
        PeerFault: the body is too long.
        ValueError: the header names another origin, recipient or key: a defect of the caller.
    """
    if (header.origin, header.recipient, header.key_id) != (identity.id, recipient.id, recipient.key_id):
        raise ValueError("the header belongs to another pair of brokers")
    header_bytes = pack_header(header)
    sealed = bindings.crypto_box_seal(pack_body(header, header_bytes, body), recipient.sealing_public)
    return pack_envelope(header_bytes, sealed, identity.sign(signing_input(header_bytes, sealed)))


def verify(envelope: Envelope, origin_public: bytes) -> None:
    """Check the origin's signature over the received bytes.

    Args:
        envelope: decoded.
        origin_public: the Ed25519 key of its header's origin, 32 bytes.

    Raises:
        PeerFault: `bad_signature`, also when the key is another broker's.
    """
    same = _id_of(origin_public) == envelope.header.origin
    data = signing_input(envelope.header_bytes, envelope.sealed)
    if not same or not is_signed(origin_public, data, envelope.signature):
        raise PeerFault("an envelope was refused", code=Code.BAD_SIGNATURE, why="its signature does not fit its origin")


def open_body(identity: Identity, envelope: Envelope) -> Body:
    """What stands inside the seal of a verified envelope to this broker.

    Raises:
        PeerFault: `unknown_key` when it is sealed to a key this broker does not hold; `bad_envelope` when
            it is for another broker, does not open, or belongs to another header.
    """
    if envelope.header.recipient != identity.id:
        raise PeerFault("an envelope was refused", why="it is for another broker")
    key = identity.sealing_key(envelope.header.key_id)
    if key is None:
        why = "it is sealed to a key this broker does not hold"
        raise PeerFault("an envelope was refused", code=Code.UNKNOWN_KEY, why=why)
    try:
        opened = bindings.crypto_box_seal_open(envelope.sealed, key.public, key.secret)
    except CryptoError:
        raise PeerFault("an envelope was refused", why="its seal does not open") from None
    return unpack_body(envelope, opened)


def sign_snapshot(identity: Identity, data: bytes) -> bytes:
    """The target's signature (64 bytes) of a snapshot's bytes; it outlives the envelope it travels in."""
    return identity.sign(authenticated(_SNAPSHOT_DOMAIN, data))


def verify_snapshot(public: bytes, data: bytes, signature: bytes) -> None:
    """Check a target's signature of a snapshot.

    Raises:
        PeerFault: `bad_signature`.
    """
    if not is_signed(public, authenticated(_SNAPSHOT_DOMAIN, data), signature):
        raise PeerFault("a snapshot was refused", code=Code.BAD_SIGNATURE, why="its signature does not fit its target")

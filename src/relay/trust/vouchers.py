"""The signature under a voucher, and the seal of what this broker keeps for itself alone."""

from __future__ import annotations

from collections.abc import Callable

from nacl import bindings
from nacl.exceptions import CryptoError

from relay.core.envelope import authenticated
from relay.core.errors import Code, PeerFault
from relay.core.ids import BrokerId
from relay.core.vouchers import SignedVoucher, Voucher, voucher_from_bytes
from relay.trust.identity import Identity
from relay.trust.signing import is_signed

_DOMAIN = b"relay-voucher/1"


def sign_voucher(identity: Identity, voucher: Voucher) -> SignedVoucher:
    """A voucher with this broker's signature."""
    data = voucher.to_bytes()
    return SignedVoucher(data, identity.sign(authenticated(_DOMAIN, data)))


def check_voucher(signed: SignedVoucher, key_of: Callable[[BrokerId], bytes | None]) -> Voucher:
    """The voucher, where its origin is a member and signed it.

    Args:
        signed: as it came.
        key_of: a member's Ed25519 key (32 bytes); None for who is no member (any more).

    Raises:
        PeerFault: it has another form, or `bad_signature`.
    """
    voucher = voucher_from_bytes(signed.data)
    key = key_of(voucher.origin)
    if key is None or not is_signed(key, authenticated(_DOMAIN, signed.data), signed.signature):
        why = "its signature does not fit its origin"
        raise PeerFault("a voucher was refused", code=Code.BAD_SIGNATURE, why=why)
    return voucher


def seal_for_self(identity: Identity, secret: bytes) -> bytes:
    """A secret as it is kept in the store: sealed to this broker's own X25519 key (48 bytes longer)."""
    return bindings.crypto_box_seal(secret, identity.sealing_keys[0].public)


def open_own(identity: Identity, sealed: bytes) -> bytes | None:
    """What `seal_for_self` sealed; None where this broker holds the key no more."""
    for key in identity.sealing_keys:
        try:
            return bindings.crypto_box_seal_open(sealed, key.public, key.secret)
        except CryptoError:
            continue
    return None

"""Signatures with a domain, and signed blocks: `[1, content, signature]`, msgpack.

A block is what hellos, roster statements and pairing messages are carried in. The signature covers the
content's bytes as received, behind the domain string.
"""

from __future__ import annotations

from nacl import bindings
from nacl.exceptions import CryptoError

from relay.core.envelope import SIGNATURE_BYTES, authenticated
from relay.core.errors import Code, PeerFault
from relay.core.ids import PUBLIC_KEY_BYTES
from relay.core.wire import pack, unpack
from relay.trust.identity import Identity

VERSION = 1
BLOCK_OVERHEAD = 128


def is_signed(public: bytes, data: bytes, signature: bytes) -> bool:
    """Whether this is the key's Ed25519 signature of these bytes.

    Args:
        public: 32 bytes; any other length signs nothing.
        data: what was signed, domain included.
        signature: 64 bytes; any other length is no signature.
    """
    if len(signature) != SIGNATURE_BYTES or len(public) != PUBLIC_KEY_BYTES:
        return False  # the binding itself would read past a short key
    try:
        bindings.crypto_sign_open(signature + data, public)
    except (CryptoError, ValueError):
        return False
    return True


def signed_block(identity: Identity, domain: bytes, content: bytes) -> bytes:
    """The content with this broker's signature."""
    return pack([VERSION, content, identity.sign(authenticated(domain, content))])


def split_block(raw: bytes, limit: int, code: Code = Code.BAD_ENVELOPE) -> tuple[bytes, bytes]:
    """Content and signature of a block; nothing is verified.

    Args:
        raw: as received.
        limit: the longest content, in bytes.
        code: of the fault.

    Raises:
        PeerFault: not of the form.
    """
    try:
        parts = unpack(raw, limit + BLOCK_OVERHEAD)
    except PeerFault as error:
        raise PeerFault("a signed block was refused", code=code, why=error.why) from None
    if type(parts) is not list or [type(part) for part in parts] != [int, bytes, bytes] or parts[0] != VERSION:
        raise PeerFault("a signed block was refused", code=code, why="it is not [1, content, signature]")
    return parts[1], parts[2]


def check_block(public: bytes, domain: bytes, content: bytes, signature: bytes) -> None:
    """Verify a split block.

    Raises:
        PeerFault: `bad_signature`.
    """
    if not is_signed(public, authenticated(domain, content), signature):
        raise PeerFault("a signed block was refused", code=Code.BAD_SIGNATURE, why="its signature does not fit")

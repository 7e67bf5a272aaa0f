"""The envelope codec: `[1, header, sealed, signature]`, msgpack.

The header is a packed array of fixed positions, carried as bytes: the signature covers exactly the bytes
that were received, and nothing is encoded again to verify. Sealing, opening, signing and verifying are
in `relay.trust.sealing`; here is only the form. docs/protocol.md gives it byte by byte.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import field
from typing import Any

from relay.core import ids
from relay.core.errors import Code, PeerFault
from relay.core.ids import BrokerId
from relay.core.values import frozen
from relay.core.wire import pack, unpack

VERSION = 1
MAX_HEADER = 1024
MAX_BODY = 250 * 1024
SEAL_OVERHEAD = 48  # NaCl SealedBox: 32 bytes of one-time key, 16 of authenticator
MAX_ENVELOPE = MAX_HEADER + MAX_BODY + SEAL_OVERHEAD + 1024
KEY_ID_BYTES = 8
SIGNATURE_BYTES = 64
MAX_KIND = 32
MAX_INTEGER = 2**53
# the longest time to live is 30 days; two more for clocks: what lives longer would keep its dedupe rows for as long
MAX_LIFE_MS = 32 * 86_400_000
EXPIRES_LATE = "it expires more than 32 days from now: the clock it was made by was ahead"
_DOMAIN = b"relay-envelope/1"


@frozen
class Header:
    """What a carrier may read. Times are milliseconds since 1970."""

    kind: str
    id: bytes
    origin: BrokerId
    recipient: BrokerId
    key_id: bytes
    incarnation: int
    created: int
    expires: int


@frozen
class Envelope:
    """A decoded, not yet verified envelope; `raw` is what arrived."""

    header: Header
    header_bytes: bytes
    sealed: bytes
    signature: bytes
    raw: bytes

    @property
    def digest(self) -> bytes:
        """SHA-256 of the received bytes: two envelopes of one id must agree in it."""
        return hashlib.sha256(self.raw).digest()


@frozen
class Body:
    """What stood inside the seal.

    Attributes:
        operation: the id under which the effect is deduped.
        content: the kind's own keys.
        critical: keys of `content` that a receiver must know or refuse.
    """

    operation: str
    content: dict[str, Any]
    critical: tuple[str, ...] = field(default=())


def _fault(why: str) -> PeerFault:
    return PeerFault("an envelope was refused", code=Code.BAD_ENVELOPE, why=why)


def authenticated(domain: bytes, *parts: bytes) -> bytes:
    """Pre-authentication encoding: the domain and each part behind its length (PASETO's PAE, 64-bit little-endian).

    Args:
        domain: what the signature is for, so that it fits nothing else.
        parts: the signed bytes.
    """
    pieces = [struct.pack("<Q", len(parts) + 1), struct.pack("<Q", len(domain)), domain]
    for part in parts:
        pieces += (struct.pack("<Q", len(part)), part)
    return b"".join(pieces)


def signing_input(header_bytes: bytes, sealed: bytes) -> bytes:
    """The bytes an envelope's signature covers."""
    return authenticated(_DOMAIN, header_bytes, sealed)


def pack_header(header: Header) -> bytes:
    """The header's one canonical form."""
    return pack(
        [
            VERSION,
            header.kind,
            header.id,
            ids.to_digest(header.origin),
            ids.to_digest(header.recipient),
            header.key_id,
            header.incarnation,
            header.created,
            header.expires,
        ]
    )


def pack_envelope(header_bytes: bytes, sealed: bytes, signature: bytes) -> bytes:
    """The envelope as it crosses a link."""
    return pack([VERSION, header_bytes, sealed, signature])


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_INTEGER


def _is_bytes(value: object, length: int) -> bool:
    return type(value) is bytes and len(value) == length


def _header_fits(parts: Any) -> bool:
    return (
        type(parts) is list
        and len(parts) == 9
        and type(parts[0]) is int
        and parts[0] == VERSION
        and type(parts[1]) is str
        and 0 < len(parts[1]) <= MAX_KIND
        and _is_bytes(parts[2], ids.ENVELOPE_ID_BYTES)
        and _is_bytes(parts[3], 32)
        and _is_bytes(parts[4], 32)
        and _is_bytes(parts[5], KEY_ID_BYTES)
        and all(_is_count(number) for number in parts[6:])
    )


def unpack_header(data: bytes) -> Header:
    """The header in these bytes.

    Raises:
        PeerFault: too long, not of the form, or not in its canonical encoding.
    """
    parts = unpack(data, MAX_HEADER)
    if not _header_fits(parts):
        raise _fault("the header has another form")
    if pack(parts) != data:
        raise _fault("the header is not in canonical form")
    _, kind, envelope_id, origin, recipient, key_id, incarnation, created, expires = parts
    return Header(
        kind, envelope_id, ids.from_digest(origin), ids.from_digest(recipient), key_id, incarnation, created, expires
    )


def unpack_envelope(raw: bytes) -> Envelope:
    """The envelope in these bytes, its form checked and nothing else.

    Raises:
        PeerFault: `bad_envelope`.
    """
    parts = unpack(raw, MAX_ENVELOPE)
    if type(parts) is not list or len(parts) != 4 or type(parts[0]) is not int or parts[0] != VERSION:
        raise _fault("not [1, header, sealed, signature]")
    _, header_bytes, sealed, signature = parts
    if type(header_bytes) is not bytes or type(sealed) is not bytes or not _is_bytes(signature, SIGNATURE_BYTES):
        raise _fault("a part has another type")
    if pack(parts) != raw:
        # or a holder could re-encode one, deliver it first, and have the origin's own copy refused as forged
        raise _fault("it is not in canonical form")
    if not SEAL_OVERHEAD < len(sealed) <= MAX_BODY + SEAL_OVERHEAD:
        raise _fault("the sealed part has a forbidden length")
    return Envelope(unpack_header(header_bytes), header_bytes, sealed, signature, raw)


def pack_body(header: Header, header_bytes: bytes, body: Body) -> bytes:
    """The bytes to seal: the body bound to its header.

    Raises:
        PeerFault: longer than 250 KiB (callers check at enqueue and word it for people).
    """
    packed = pack(
        {
            "origin": ids.to_digest(header.origin),
            "recipient": ids.to_digest(header.recipient),
            "header": hashlib.sha256(header_bytes).digest(),
            "operation": body.operation,
            "content": body.content,
            "critical": list(body.critical),
        }
    )
    if len(packed) > MAX_BODY:
        raise _fault(f"the body is longer than {MAX_BODY} bytes")
    return packed


def _bound(parts: dict[str, Any], envelope: Envelope) -> bool:
    return (
        parts.get("origin") == ids.to_digest(envelope.header.origin)
        and parts.get("recipient") == ids.to_digest(envelope.header.recipient)
        and parts.get("header") == hashlib.sha256(envelope.header_bytes).digest()
    )


def unpack_body(envelope: Envelope, opened: bytes) -> Body:
    """The body that was sealed under this envelope's header.

    Raises:
        PeerFault: not of the form, or sealed for another header, origin or recipient.
    """
    parts = unpack(opened, MAX_BODY)
    if type(parts) is not dict or not _bound(parts, envelope):
        raise _fault("the sealed body belongs to another header")
    operation, content, critical = parts.get("operation"), parts.get("content"), parts.get("critical")
    if not ids.is_operation(operation) or type(content) is not dict or type(critical) is not list:
        raise _fault("the sealed body has another form")
    if not all(type(key) is str for key in critical):
        raise _fault("the sealed body has another form")
    return Body(str(operation), content, tuple(critical))

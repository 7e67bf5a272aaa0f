"""The invite: the link a person carries to a new machine, and the row the inviter keeps of it.

    relay://join/ + base64url( msgpack [1, inviter, secret, workspace, expires, addresses] + 4 check bytes )

The flow is drawn in `relay.core.pairing`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from typing import Any

from relay.core import ids
from relay.core.envelope import authenticated
from relay.core.errors import Code, Misuse, PeerFault
from relay.core.hello import are_addresses, is_bytes, is_count
from relay.core.ids import BrokerId
from relay.core.values import frozen
from relay.core.wire import pack, unpack

VERSION = 1
SCHEME = "relay://join/"
SECRET_BYTES = 32
INVITE_ID_BYTES = 16
CHECK_BYTES = 4
MAX_LINK_TEXT = 8192
_CHECK_DOMAIN = b"relay-link-check/1"


@frozen
class InviteLink:
    """What a person carries to the new machine.

    Attributes:
        inviter: the inviter's id: the fingerprint its TLS key is pinned to.
        secret: 32 random bytes, good for one joiner.
        workspace: the workspace's name, for the person.
        expires: milliseconds since 1970, the inviter's clock.
        addresses: where the inviter listens.
    """

    inviter: BrokerId
    secret: bytes
    workspace: str
    expires: int
    addresses: tuple[str, ...]

    def __repr__(self) -> str:
        return f"InviteLink(inviter={self.inviter!r}, workspace={self.workspace!r}, expires={self.expires})"

    @property
    def id(self) -> bytes:
        """What the invite is looked up by: 16 bytes from the secret, which it does not give away."""
        return _derived(self.secret, b"relay-invite-id/1")[:INVITE_ID_BYTES]

    @property
    def verifier(self) -> bytes:
        """The HMAC key (32 bytes) both sides derive; all that the inviter keeps of the secret."""
        return _derived(self.secret, b"relay-invite-verifier/1")


@frozen
class InviteRow:
    """An invite as the inviter keeps it.

    Attributes:
        id: 16 bytes.
        verifier: the HMAC key, 32 bytes.
        expires: milliseconds since 1970.
        used_by: who was admitted on it; None while it is open.
        answer: the signed answer that joiner may fetch again.
    """

    id: bytes
    verifier: bytes
    expires: int
    used_by: BrokerId | None = None
    answer: bytes | None = None

    def __repr__(self) -> str:
        return f"InviteRow(id={self.id.hex()}, expires={self.expires}, used_by={self.used_by!r})"


def _derived(secret: bytes, info: bytes) -> bytes:
    extracted = hmac.digest(bytes(32), secret, "sha256")  # HKDF-SHA-256 without salt, one block (RFC 5869)
    return hmac.digest(extracted, info + b"\x01", "sha256")


def row_of(link: InviteLink) -> InviteRow:
    """What the inviter stores when it hands out this link."""
    return InviteRow(link.id, link.verifier, link.expires)


def _check_of(payload: bytes) -> bytes:
    return hashlib.sha256(authenticated(_CHECK_DOMAIN, payload)).digest()[:CHECK_BYTES]


def format_link(link: InviteLink) -> str:
    """The link as one pasteable word. It holds the secret: show it, never log it."""
    fields = [VERSION, ids.to_digest(link.inviter), link.secret, link.workspace, link.expires, list(link.addresses)]
    payload = pack(fields)
    return SCHEME + base64.urlsafe_b64encode(payload + _check_of(payload)).decode("ascii").rstrip("=")


def _bad_link(message: str, why: str) -> Misuse:
    hint = "copy the whole link again, or make a new one there: relay invite --link"
    return Misuse(message, code=Code.BAD_INVITE, why=why, hint=hint)


def _link_bytes(text: str) -> bytes:
    plain = re.sub(r"\s", "", text[: 2 * MAX_LINK_TEXT]).strip("<>\"'")
    if not plain.startswith(SCHEME):
        raise _bad_link("that is not an invite link", f"an invite link starts with {SCHEME}")
    coded = plain.removeprefix(SCHEME)
    if len(coded) > MAX_LINK_TEXT or not re.fullmatch(r"[A-Za-z0-9_-]+", coded):
        raise _bad_link("the invite link is damaged", "it has characters that no invite link has, or too many")
    try:
        return base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4))
    except (binascii.Error, ValueError):
        raise _bad_link("the invite link is cut off or damaged", "its length is wrong") from None


def _link_fits(parts: Any) -> bool:
    return (
        type(parts) is list
        and len(parts) == 6
        and type(parts[0]) is int
        and is_bytes(32)(parts[1])
        and is_bytes(SECRET_BYTES)(parts[2])
        and ids.is_name(parts[3])
        and is_count(parts[4])
        and are_addresses(parts[5])
    )


def parse_link(text: str) -> InviteLink:
    """The link a person pasted; line breaks, spaces and quotes around it do no harm.

    Raises:
        Misuse: `bad_invite`: not a link, cut off, mangled, or of a later version.
    """
    data = _link_bytes(text)
    payload, check = data[:-CHECK_BYTES], data[-CHECK_BYTES:]
    if not hmac.compare_digest(_check_of(payload), check):
        raise _bad_link("the invite link is cut off or damaged", "its check digits do not fit")
    try:
        parts = unpack(payload, MAX_LINK_TEXT)
    except PeerFault:
        parts = None
    if not _link_fits(parts) or parts[0] != VERSION:
        raise _bad_link("the invite link cannot be read", "it was made by another version of relay, or by hand")
    return InviteLink(ids.from_digest(parts[1]), parts[2], parts[3], parts[4], tuple(parts[5]))

"""The audit log's hash chain. The rows live in the store; here is what makes a change or a cut show.

    hash(n) = SHA-256( hash(n-1), entry bytes of n ),  hash(0) = 32 zero bytes

The head (last seq and hash) is signed and travels in hellos, so that a tail cut off shows on the peers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from relay.core.envelope import authenticated
from relay.core.errors import PeerFault
from relay.core.hello import HASH_BYTES, AuditHead
from relay.core.values import frozen
from relay.core.wire import pack, unpack
from relay.trust.identity import Identity
from relay.trust.signing import is_signed

MAX_ENTRY = 16 * 1024
MAX_DETAIL = 2_000
EMPTY = AuditHead(0, bytes(HASH_BYTES))
_ENTRY_DOMAIN = b"relay-audit/1"
_HEAD_DOMAIN = b"relay-audit-head/1"


@frozen
class AuditEntry:
    """One decision.

    Attributes:
        seq: from 1, without gaps.
        at: milliseconds since 1970.
        actor: who wanted it: a broker id, or a local person or client.
        action: what: `spawn`, `trust.allow`, `link.refused`, …
        outcome: `allowed` or `refused`, or what came of it.
        code: the error's code where it was refused, else empty.
        detail: for people; at most 2,000 characters are kept; no secret.
    """

    seq: int
    at: int
    actor: str
    action: str
    outcome: str
    code: str = ""
    detail: str = ""

    def to_bytes(self) -> bytes:
        """The bytes that are stored and hashed."""
        texts = (self.actor, self.action, self.outcome, self.code, self.detail)
        return pack([self.seq, self.at, *(text[:MAX_DETAIL] for text in texts)])


def entry_from_bytes(data: bytes) -> AuditEntry:
    """The entry in stored bytes.

    Raises:
        PeerFault: not of the form: the log was tampered with.
    """
    parts = unpack(data, MAX_ENTRY * 4)
    if type(parts) is not list or [type(part) for part in parts] != [int, int, str, str, str, str, str]:
        raise PeerFault("an audit entry cannot be read", why="it is not what relay writes")
    return AuditEntry(*parts)


def entry_hash(previous: bytes, entry_bytes: bytes) -> bytes:
    """The chain's next hash, 32 bytes."""
    return hashlib.sha256(authenticated(_ENTRY_DOMAIN, previous, entry_bytes)).digest()


def _is_next(start: AuditHead, row: tuple[int, bytes, bytes]) -> bool:
    seq, entry_bytes, stored = row
    try:
        entry = entry_from_bytes(entry_bytes)
    except PeerFault:
        return False
    return seq == entry.seq == start.seq + 1 and entry_hash(start.hash, entry_bytes) == stored


def verify_chain(rows: Iterable[tuple[int, bytes, bytes]], start: AuditHead = EMPTY) -> int | None:
    """Check rows in order of their number.

    Args:
        rows: (seq, entry bytes, hash) of each.
        start: the head before the first of them; for a log whose beginning was purged.

    Returns:
        The sequence number of the first row that is changed, missing or out of place; None when all fit.
    """
    head = start
    for row in rows:
        if not _is_next(head, row):
            return head.seq + 1
        head = AuditHead(row[0], row[2])
    return None


def _head_bytes(head: AuditHead) -> bytes:
    return authenticated(_HEAD_DOMAIN, pack([head.seq, head.hash]))


def sign_head(identity: Identity, head: AuditHead) -> bytes:
    """This broker's signature (64 bytes) of the end of its log."""
    return identity.sign(_head_bytes(head))


def is_signed_head(public: bytes, head: AuditHead, signature: bytes) -> bool:
    """Whether that broker signed this end of its log."""
    return is_signed(public, _head_bytes(head), signature)


def is_cut(known: AuditHead, head: AuditHead) -> bool:
    """Whether a log that now ends in `head` lost or changed what it had when it ended in `known`."""
    return head.seq < known.seq or (head.seq == known.seq and head.hash != known.hash)

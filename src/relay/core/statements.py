"""One signed word on the roster: its form. What such words add up to is folded in `relay.core.roster`.

Signatures are checked in `relay.trust.roster`, before a statement gets here.
"""

from __future__ import annotations

import hashlib
from dataclasses import field
from enum import StrEnum
from typing import Any

from relay.core import ids
from relay.core.envelope import authenticated
from relay.core.errors import Code, PeerFault
from relay.core.hello import HASH_BYTES, is_bytes, is_count
from relay.core.ids import BrokerId
from relay.core.values import frozen
from relay.core.wire import pack, unpack

VERSION = 1
MAX_STATEMENT = 1024
MAX_STATEMENTS = 16_384  # one chain; a statement beyond it is refused, so that a fold stays bounded
MAX_REASON = 256
MAX_REASON_BYTES = 512  # what is left of a statement beside the most that can stand in it
MAX_CITED = 8
MAX_CUTS = 4
WORKSPACE_ID_CHARS = 26
FIRST_PREVIOUS = bytes(HASH_BYTES)
_DOMAIN = b"relay-statement-hash/1"


class StatementKind(StrEnum):
    """What a statement says."""

    ADMIT = "admit"
    EVICT = "evict"
    PROMOTE = "promote"
    DEMOTE = "demote"


_ADMITTING = (StatementKind.ADMIT, StatementKind.PROMOTE)


@frozen
class Member:
    """One broker of the workspace.

    Attributes:
        id: its broker id.
        public: its raw Ed25519 key, 32 bytes.
        sealing_public: the X25519 key to seal to, 32 bytes.
        name: the label it was admitted under.
        admitted_at: milliseconds since 1970, the signer's clock.
    """

    id: BrokerId
    public: bytes
    sealing_public: bytes
    name: str
    admitted_at: int


@frozen
class Cut:
    """Up to where a signer's chain is honoured.

    Attributes:
        promotion: the hash of the promotion that the chain follows, 32 bytes.
        seq: how many of its statements are honoured.
        last: the hash of the last of these; the promotion's where there is none.
    """

    promotion: bytes
    seq: int
    last: bytes


@frozen
class Statement:
    """One signed word on the roster.

    Attributes:
        kind: what it says.
        workspace: the workspace's id; a root of two keeps them apart.
        signer: whose chain it is in.
        seq: its place in that chain, from 1.
        previous: the hash of the statement before; of the first the promotion's, of the root's first 32 zero bytes.
        at: milliseconds since 1970, the signer's clock.
        subject: whom it is about.
        member: for `admit` and `promote`: the record; else None.
        cites: for these: the hashes of what is undone or replaced, one after the other; else empty.
        reason: for `evict` and `demote`: a short text.
        cuts: for these, where the subject signs: up to where its chains are honoured.
        content: the signed bytes.
        raw: content and signature as received.
        hash: SHA-256 (32 bytes) of the signed content; what the next statement names as `previous`.
    """

    kind: StatementKind
    workspace: str
    signer: BrokerId
    seq: int
    previous: bytes
    at: int
    subject: BrokerId
    member: Member | None = None
    cites: bytes = b""
    reason: str = ""
    cuts: tuple[Cut, ...] = ()
    content: bytes = b""
    raw: bytes = field(default=b"", compare=False)
    # made once: each statement that comes is laid beside all that are kept
    hash: bytes = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hash", hashlib.sha256(authenticated(_DOMAIN, self.content)).digest())

    @property
    def cited(self) -> list[bytes]:
        """What it cites, hash by hash."""
        return [self.cites[at : at + HASH_BYTES] for at in range(0, len(self.cites), HASH_BYTES)]


def _fault(why: str) -> PeerFault:
    return PeerFault("a roster statement was refused", code=Code.BAD_ENVELOPE, why=why)


def _detail(statement: Statement) -> list[Any]:
    member = statement.member
    if member is not None:
        return [member.public, member.sealing_public, member.name, statement.cites]
    cuts = [[cut.promotion, cut.seq, cut.last] for cut in statement.cuts]
    return [statement.reason, cuts] if cuts else [statement.reason]


def pack_statement(statement: Statement) -> bytes:
    """The bytes to sign: an array of fixed positions."""
    return pack(
        [
            VERSION,
            str(statement.kind),
            statement.workspace,
            ids.to_digest(statement.signer),
            statement.seq,
            statement.previous,
            statement.at,
            ids.to_digest(statement.subject),
            _detail(statement),
        ]
    )


def is_workspace_id(value: object) -> bool:
    """Whether this is a workspace's id: 26 letters and digits."""
    return type(value) is str and len(value) == WORKSPACE_ID_CHARS and value.isascii() and value.isalnum()


def _is_admission(detail: list[Any], subject: bytes) -> bool:
    if len(detail) != 4 or not all(map(is_bytes(32), detail[:2])) or not ids.is_name(detail[2]):
        return False
    cited = type(detail[3]) is bytes and not len(detail[3]) % HASH_BYTES and len(detail[3]) <= MAX_CITED * HASH_BYTES
    return cited and ids.digest_of(detail[0]) == subject


def _is_cut(value: object) -> bool:
    return (
        type(value) is list
        and len(value) == 3
        and is_bytes(HASH_BYTES)(value[0])
        and is_count(value[1])
        and is_bytes(HASH_BYTES)(value[2])
    )


def _is_ruling(detail: list[Any]) -> bool:
    if not detail or type(detail[0]) is not str or len(detail[0]) > MAX_REASON:
        return False
    if len(detail) == 1:
        return True
    cuts = detail[1]
    return len(detail) == 2 and type(cuts) is list and 0 < len(cuts) <= MAX_CUTS and all(map(_is_cut, cuts))


def _fits(parts: Any) -> bool:
    return (
        type(parts) is list
        and len(parts) == 9
        and type(parts[0]) is int
        and parts[0] == VERSION
        and type(parts[1]) is str
        and parts[1] in StatementKind._value2member_map_
        and is_workspace_id(parts[2])
        and is_bytes(32)(parts[3])
        and is_count(parts[4])
        and 0 < parts[4] <= MAX_STATEMENTS
        and is_bytes(HASH_BYTES)(parts[5])
        and is_count(parts[6])
        and is_bytes(32)(parts[7])
        and type(parts[8]) is list
    )


def _detail_fits(kind: str, detail: list[Any], subject: bytes) -> bool:
    return _is_admission(detail, subject) if kind in _ADMITTING else _is_ruling(detail)


def unpack_statement(content: bytes, raw: bytes = b"") -> Statement:
    """The statement in these signed bytes.

    Args:
        content: the signed bytes, at most 1 KiB.
        raw: content and signature as received, to be kept.

    Raises:
        PeerFault: not of the form, or not in its canonical encoding.
    """
    parts = unpack(content, MAX_STATEMENT)
    if not _fits(parts) or not _detail_fits(parts[1], parts[8], parts[7]):
        raise _fault("it has another form")
    if pack(parts) != content:
        raise _fault("it is not in canonical form")
    return _statement(parts, content, raw)


def _statement(parts: list[Any], content: bytes, raw: bytes) -> Statement:
    _, kind, workspace, signer, seq, previous, at, subject, detail = parts
    who = ids.from_digest(subject)
    admits = kind in _ADMITTING
    return Statement(
        kind=StatementKind(kind),
        workspace=workspace,
        signer=ids.from_digest(signer),
        seq=seq,
        previous=previous,
        at=at,
        subject=who,
        member=Member(who, detail[0], detail[1], detail[2], at) if admits else None,
        cites=detail[3] if admits else b"",
        reason="" if admits else detail[0],
        cuts=() if admits or len(detail) < 2 else tuple(Cut(*each) for each in detail[1]),
        content=content,
        raw=raw,
    )

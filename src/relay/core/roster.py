"""The roster: who belongs to the workspace, folded from signed statements.

Each signer's statements form a hash chain. In this first form the workspace's creator (the root) is the
only signer, and its own admission is its first statement. Rules of the fold, the same in any order of arrival:

- a statement counts when the chain from the root's first statement reaches it without a gap;
- where two statements follow the same one, the chain is forked and counts up to there;
- `admit` adds a member, or replaces the record of one; after an eviction it must cite the evict;
- `evict` removes a member; the root cannot be evicted;
- `promote` and `demote` are reserved: they are links of their chain and have no effect in this version;
- a statement of any signer but the root is ignored.

Signatures are checked in `relay.trust.roster`, before a statement gets here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from relay.core import ids
from relay.core.envelope import authenticated
from relay.core.errors import Code, PeerFault
from relay.core.hello import HASH_BYTES, is_bytes, is_count
from relay.core.ids import BrokerId
from relay.core.wire import pack, unpack

VERSION = 1
MAX_STATEMENT = 1024
MAX_STATEMENTS = 16_384  # one chain; a statement beyond it is refused, so that a fold stays bounded
MAX_MEMBERS = 4_096  # four times the size Relay is made for
MAX_REASON = 256
WORKSPACE_ID_CHARS = 26
FIRST_PREVIOUS = bytes(HASH_BYTES)
_DOMAIN = b"relay-statement-hash/1"
_HEAD_DOMAIN = b"relay-roster-head/1"


class StatementKind(StrEnum):
    """What a statement says."""

    ADMIT = "admit"
    EVICT = "evict"
    PROMOTE = "promote"
    DEMOTE = "demote"


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Statement:
    """One signed word on the roster.

    Attributes:
        kind: what it says.
        workspace: the workspace's id; a root of two keeps them apart.
        signer: whose chain it is in.
        seq: its place in that chain, from 1.
        previous: the hash of the statement before; 32 zero bytes for the first.
        at: milliseconds since 1970, the signer's clock.
        subject: whom it is about.
        member: for `admit`: the record; else None.
        cites: for a re-admission: the hash of the evict it undoes; else empty.
        reason: for `evict`: a short text.
        content: the signed bytes.
        raw: content and signature as received.
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
    content: bytes = b""
    raw: bytes = field(default=b"", compare=False)

    @property
    def hash(self) -> bytes:
        """SHA-256 (32 bytes) of the signed content; what the next statement names as `previous`."""
        return hashlib.sha256(authenticated(_DOMAIN, self.content)).digest()


@dataclass(frozen=True, slots=True)
class Roster:
    """What the statements add up to.

    Attributes:
        root: the workspace's creator.
        members: who belongs, by id.
        evicted: for each id that was put out: the hash of the evict that did it.
        seq: how many of the root's statements count.
        tip: the hash of the last one that counts.
        forked: whether two statements follow the tip.
    """

    root: BrokerId
    members: dict[BrokerId, Member]
    evicted: dict[BrokerId, bytes]
    seq: int
    tip: bytes
    forked: bool

    @property
    def head(self) -> bytes:
        """SHA-256 (32 bytes) over every signer's id and tip: equal heads mean equal rosters."""
        return hashlib.sha256(authenticated(_HEAD_DOMAIN, ids.to_digest(self.root), self.tip)).digest()


def _fault(why: str) -> PeerFault:
    return PeerFault("a roster statement was refused", code=Code.BAD_ENVELOPE, why=why)


def pack_statement(statement: Statement) -> bytes:
    """The bytes to sign: an array of fixed positions."""
    member = statement.member
    admit = [member.public, member.sealing_public, member.name, statement.cites] if member else None
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
            admit if admit is not None else [statement.reason],
        ]
    )


def is_workspace_id(value: object) -> bool:
    """Whether this is a workspace's id: 26 letters and digits."""
    return type(value) is str and len(value) == WORKSPACE_ID_CHARS and value.isascii() and value.isalnum()


def _is_admission(detail: list[Any], subject: bytes) -> bool:
    if len(detail) != 4 or not all(map(is_bytes(32), detail[:2])) or not ids.is_name(detail[2]):
        return False
    cited = type(detail[3]) is bytes and len(detail[3]) in (0, HASH_BYTES)
    return cited and ids.digest_of(detail[0]) == subject


def _is_reason(detail: list[Any]) -> bool:
    return len(detail) == 1 and type(detail[0]) is str and len(detail[0]) <= MAX_REASON


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
    if kind == StatementKind.ADMIT:
        return _is_admission(detail, subject)
    return kind in (StatementKind.PROMOTE, StatementKind.DEMOTE) or _is_reason(detail)


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
    admits, evicts = kind == StatementKind.ADMIT, kind == StatementKind.EVICT
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
        reason=detail[0] if evicts else "",
        content=content,
        raw=raw,
    )


def _chain(statements: Iterable[Statement]) -> tuple[list[Statement], bool]:
    following: dict[tuple[int, bytes], dict[bytes, Statement]] = {}
    for statement in statements:
        following.setdefault((statement.seq, statement.previous), {})[statement.hash] = statement
    chain: list[Statement] = []
    tip = FIRST_PREVIOUS
    while len(children := following.get((len(chain) + 1, tip), {})) == 1:
        ((tip, statement),) = children.items()
        chain.append(statement)
    return chain, bool(children)


@dataclass(slots=True)
class _Fold:
    root: BrokerId
    members: dict[BrokerId, Member] = field(default_factory=dict)
    evicted: dict[BrokerId, bytes] = field(default_factory=dict)

    def apply(self, statement: Statement) -> None:
        if statement.member is not None and self._may_enter(statement):
            self.evicted.pop(statement.subject, None)
            self.members[statement.subject] = statement.member
        elif statement.kind is StatementKind.EVICT and statement.subject != self.root:
            if self.members.pop(statement.subject, None) is not None:
                self.evicted[statement.subject] = statement.hash

    def _may_enter(self, statement: Statement) -> bool:
        if not self.members:
            return statement.subject == self.root
        known = statement.subject in self.members
        room = known or len(self.members) < MAX_MEMBERS
        return room and statement.cites == self.evicted.get(statement.subject, b"")


def counted(root_public: bytes, statements: Iterable[Statement]) -> list[Statement]:
    """Those of these verified statements that count, in the order of their chain; arguments as for `fold`."""
    root = ids.broker_id(root_public)
    return _chain(item for item in statements if item.signer == root)[0]


def fold(root_public: bytes, statements: Iterable[Statement]) -> Roster:
    """The roster that these verified statements of one workspace add up to, in whatever order they come.

    Args:
        root_public: the creator's raw Ed25519 key, 32 bytes.
        statements: each verified by `relay.trust.roster.verify_statement`; duplicates do no harm.
    """
    root = ids.broker_id(root_public)
    chain, forked = _chain(item for item in statements if item.signer == root)
    state = _Fold(root)
    for statement in chain:
        state.apply(statement)
    tip = chain[-1].hash if chain else FIRST_PREVIOUS
    return Roster(root, state.members, state.evicted, len(chain), tip, forked)

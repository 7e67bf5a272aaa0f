"""The hello: the first frame each way on a link, and the rules that judge it.

    dialler ── signed hello ──►  listener       each side: TLS leaf key == hello's key == the expected id,
            ◄── signed hello ──                 the binding names this very pair, the id is on the roster

Signing and verifying are in `relay.trust.hello`; here are the form and the rules. docs/protocol.md gives
the bytes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import field
from enum import Enum, StrEnum
from typing import Any

from relay.core import ids
from relay.core.envelope import MAX_INTEGER, authenticated
from relay.core.errors import Code, PeerFault
from relay.core.ids import BrokerId
from relay.core.values import frozen
from relay.core.wire import pack, unpack

PROTOCOL_VERSIONS = (1,)
MAX_HELLO = 8 * 1024
MAX_VERSIONS = 16
MAX_ADDRESSES = 16
MAX_ADDRESS = 262  # a DNS name of 255 letters, a colon, a port
NONCE_BYTES = 16
PROOF_BYTES = 64
HASH_BYTES = 32
_BINDING_DOMAIN = b"relay-binding/1"
_ADDRESS = re.compile(r"(?:\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9])?):([0-9]{1,5})\Z")


class Role(StrEnum):
    """What the sender offers to the mesh."""

    MEMBER = "member"
    HOLDER = "holder"  # always on and willing to keep envelopes for others


@frozen
class Binding:
    """The connection a hello belongs to: who dialled whom, by TLS leaf key (raw Ed25519, 32 bytes each)."""

    dialler: bytes
    listener: bytes

    @property
    def digest(self) -> bytes:
        """SHA-256 (32 bytes) over both leaf keys and both ids, in the order of dialling."""
        both = (self.dialler, self.listener)
        return hashlib.sha256(authenticated(_BINDING_DOMAIN, *both, *map(ids.digest_of, both))).digest()


@frozen
class Incarnation:
    """One start of one broker: a stored counter, raised at each start, and 16 random bytes.

    `proof` is its owner's signature over both (`relay.trust.hello.sign_start`), empty where none is known.
    """

    counter: int
    nonce: bytes
    proof: bytes = field(default=b"", compare=False)


@frozen
class AuditHead:
    """The last link of an audit chain: its sequence number (0 for an empty log) and hash (32 bytes)."""

    seq: int
    hash: bytes


@frozen
class Hello:
    """What a broker says of itself before anything else crosses a link.

    Attributes:
        versions: protocol versions it speaks.
        public: its raw Ed25519 key, 32 bytes; the same as its TLS leaf's.
        name: its label.
        role: what it offers.
        incarnation: this start's counter.
        nonce: this start's 16 random bytes.
        roster_head: `Roster.head`, 32 bytes.
        audit_head: the end of its audit log, so that a cut tail shows.
        binding: `Binding.digest` of this connection.
        seen_of_you: the highest incarnation it has seen of the receiver; 0 for none.
        addresses: `host:port` where it listens, at most 16.
        clock_ms: its clock, milliseconds since 1970.
        seen_nonce_of_you: the nonce of that highest incarnation (16 bytes); None from a broker that does not say.
        start: the sender's signature over its incarnation, 64 bytes, by which others can prove that they saw it.
        seen_start_of_you: the receiver's own such signature over what was seen of it.
        audit_proof: the sender's signature over `audit_head`, 64 bytes, by which others can prove that they saw it.
        seen_audit_of_you: the highest end of the receiver's log that the sender holds: number, hash, the receiver's
            signature.
        audit_at: number and hash of the sender's entry at the place that the receiver last told to hold; zeros for the
            hash where it has none.
        frames: the highest type of frame that it reads; None from a broker that does not say.
    """

    versions: tuple[int, ...]
    public: bytes
    name: str
    role: Role
    incarnation: int
    nonce: bytes
    roster_head: bytes
    audit_head: AuditHead
    binding: bytes
    seen_of_you: int
    addresses: tuple[str, ...]
    clock_ms: int
    seen_nonce_of_you: bytes | None = None
    start: bytes | None = None
    seen_start_of_you: bytes | None = None
    audit_proof: bytes | None = None
    seen_audit_of_you: tuple[int, bytes, bytes] | None = None
    audit_at: tuple[int, bytes] | None = None
    frames: int | None = None

    @property
    def own_start(self) -> Incarnation:
        """The sender's incarnation, with its proof."""
        return Incarnation(self.incarnation, self.nonce, self.start or b"")

    @property
    def seen(self) -> Incarnation:
        """The receiver's incarnation that this hello claims to have seen, with the proof of it."""
        return Incarnation(self.seen_of_you, self.seen_nonce_of_you or b"", self.seen_start_of_you or b"")

    @property
    def id(self) -> BrokerId:
        """The sender's broker id."""
        return ids.broker_id(self.public)


class Judgement(Enum):
    """What an incarnation is, next to the highest one seen of the same identity."""

    NEWER = "newer"
    SAME = "same"
    CLONED = "cloned"


def judge_incarnation(seen: Incarnation | None, new: Incarnation) -> Judgement:
    """Whether a hello's incarnation is a new start, the known one, or a copy of the machine.

    Args:
        seen: the highest one seen in a hello of that identity; None for the first meeting.
        new: the one in this hello.

    Returns:
        NEWER replaces the old link; CLONED (a lower counter, or the same one with another nonce) freezes
        that identity's rights here until its grant is given again.
    """
    if seen is None or new.counter > seen.counter:
        return Judgement.NEWER
    return Judgement.SAME if new == seen else Judgement.CLONED


def is_behind(own: Incarnation, seen: Incarnation) -> bool:
    """Whether a peer has seen a start of this broker that its store does not know: the store was restored.

    Args:
        own: this start's incarnation.
        seen: of the peer's hello; it counts only with its proof, which the caller verifies. The same counter with
            another nonce was another start: the store is a copy from before it.
    """
    return seen.counter > own.counter or (seen.counter == own.counter and seen.nonce not in (b"", own.nonce))


def common_version(ours: Sequence[int], theirs: Sequence[int]) -> int:
    """The highest protocol version both speak.

    Raises:
        PeerFault: there is none.
    """
    both = set(ours) & set(theirs)
    if not both:
        raise _fault(f"it speaks protocol versions {sorted(theirs)}, this broker {sorted(ours)}")
    return max(both)


def is_address(value: object) -> bool:
    """Whether this is a `host:port`, `[v6]:port` included, that may be dialled."""
    if type(value) is not str or len(value) > MAX_ADDRESS:
        return False
    match = _ADDRESS.match(value)
    return match is not None and 0 < int(match[1]) < 65_536


def are_addresses(value: object) -> bool:
    """Whether this is a decoded list of at most 16 addresses."""
    return type(value) is list and len(value) <= MAX_ADDRESSES and all(map(is_address, value))


def is_count(value: object) -> bool:
    """Whether this is a whole number from 0 to 2**53: a time, a counter, a sequence number."""
    return type(value) is int and 0 <= value <= MAX_INTEGER


def is_bytes(length: int) -> Callable[[object], bool]:
    """A check for exactly that many bytes."""
    return lambda value: type(value) is bytes and len(value) == length


def _fault(why: str) -> PeerFault:
    return PeerFault("a hello was refused", code=Code.BAD_HELLO, why=why)


def _are_versions(value: object) -> bool:
    return type(value) is list and 0 < len(value) <= MAX_VERSIONS and all(map(is_count, value))


def _is_head(value: object) -> bool:
    return type(value) is list and len(value) == 2 and is_count(value[0]) and is_bytes(HASH_BYTES)(value[1])


def _is_proved_head(value: object) -> bool:
    return type(value) is list and len(value) == 3 and _is_head(value[:2]) and is_bytes(PROOF_BYTES)(value[2])


_CHECKS: dict[str, Callable[[object], bool]] = {
    "versions": _are_versions,
    "public": is_bytes(ids.PUBLIC_KEY_BYTES),
    "name": ids.is_name,
    "role": lambda value: type(value) is str and value in Role._value2member_map_,
    "incarnation": is_count,
    "nonce": is_bytes(NONCE_BYTES),
    "roster_head": is_bytes(HASH_BYTES),
    "audit_head": _is_head,
    "binding": is_bytes(HASH_BYTES),
    "seen_of_you": is_count,
    "addresses": are_addresses,
    "clock_ms": is_count,
}
# later additions: a broker that does not know them does not send them
_OPTIONAL: dict[str, Callable[[object], bool]] = {
    "seen_nonce_of_you": is_bytes(NONCE_BYTES),
    "start": is_bytes(PROOF_BYTES),
    "seen_start_of_you": is_bytes(PROOF_BYTES),
    "audit_proof": is_bytes(PROOF_BYTES),
    "seen_audit_of_you": _is_proved_head,
    "audit_at": _is_head,
    "frames": is_count,
}
_LISTS = ("versions", "addresses", "seen_audit_of_you", "audit_at")


def pack_hello(hello: Hello) -> bytes:
    """The bytes the sender signs."""
    plain = {name: getattr(hello, name) for name in _CHECKS}
    plain |= {name: getattr(hello, name) for name in _OPTIONAL if getattr(hello, name) is not None}
    return pack(plain | {"role": str(hello.role), "audit_head": [hello.audit_head.seq, hello.audit_head.hash]})


def _checked(data: bytes) -> dict[str, Any]:
    try:
        content = unpack(data, MAX_HELLO)
    except PeerFault as error:
        raise _fault(error.why) from None
    if type(content) is not dict:
        raise _fault("it is no map")
    for name, check in _CHECKS.items():
        if not check(content.get(name)):
            raise _fault(f"its field {name!r} is missing or wrong")
    for name, check in _OPTIONAL.items():
        if name in content and not check(content[name]):
            raise _fault(f"its field {name!r} is wrong")
    return content


def unpack_hello(data: bytes) -> Hello:
    """The hello in these bytes; unknown keys are ignored, so that later versions may add some.

    Raises:
        PeerFault: `bad_hello`.
    """
    content = _checked(data)
    known = {name: content[name] for name in (*_CHECKS, *_OPTIONAL) if name in content}
    known |= {name: tuple(known[name]) for name in _LISTS if name in known}
    return Hello(**known | {"role": Role(content["role"]), "audit_head": AuditHead(*content["audit_head"])})

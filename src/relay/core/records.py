"""Peer records: what a member signs about itself, so that others find it and know whom it reaches.

    owner ── signed record ──► linked members ── what was news to them ──► further members

A record says where its owner may be dialled, what it offers and whom it is linked with. All of it is hints: keys
come from the roster alone, and a dial pins the id. Records die (48 h at most) and are renewed by their owner.
The owner's highest (incarnation, seq) counts. Signing is in `relay.trust.records`; docs/protocol.md has the bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import Enum, auto
from typing import Any

from relay.core import ids
from relay.core.errors import Code, PeerFault
from relay.core.hello import are_addresses, is_bytes, is_count
from relay.core.ids import BrokerId
from relay.core.values import frozen
from relay.core.wire import pack, unpack

MAX_RECORD = 4 * 1024
MAX_LIFE_MS = 48 * 3_600_000
RENEW_AFTER_MS = 12 * 3_600_000
MAX_SKEW_MS = 10 * 60_000
MAX_CAPABILITIES = 32
MAX_AGENTS = 32
MAX_LINKED = 32
MAX_VERSION = 64
DIGEST_BYTES = 32
_TRIMMED = ("agents", "capabilities", "addresses")  # never `linked`: a short list of links is a whole one


@frozen
class Record:
    """What a broker says of itself.

    Attributes:
        public: its raw Ed25519 key, 32 bytes.
        sealing_public: its X25519 key, 32 bytes; the roster's, or the record is refused.
        incarnation: the start it speaks of.
        seq: counts its records within that start, from 1.
        created, expires: milliseconds since 1970, by its own clock.
        addresses: `host:port` where it may be dialled, at most 16.
        always_on: whether it offers to hold for others.
        capabilities: what it can do, at most 32 short words.
        agents: what it can run, at most 32 names.
        version: of its program.
        linked: some of those it is linked with, at most 32; all of them where there are fewer.
    """

    public: bytes
    sealing_public: bytes
    incarnation: int
    seq: int
    created: int
    expires: int
    addresses: tuple[str, ...] = ()
    always_on: bool = False
    capabilities: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    version: str = ""
    linked: tuple[BrokerId, ...] = ()

    @property
    def id(self) -> BrokerId:
        """Its owner."""
        return ids.broker_id(self.public)

    @property
    def age(self) -> tuple[int, int]:
        """What decides between two records of one owner: the higher counts."""
        return self.incarnation, self.seq

    @property
    def tells_all_links(self) -> bool:
        """Whether it names everybody its owner is linked with."""
        return len(self.linked) < MAX_LINKED


class Verdict(Enum):
    """What a record is, next to the one that is held of the same owner."""

    NEWS = auto()
    KNOWN = auto()  # the one that is held, or an older one
    CONFLICT = auto()  # the same place in the order, other bytes: its owner runs twice, or lies
    EXPIRED = auto()
    EARLY = auto()  # from further in the future than clocks may differ


def judge(held: tuple[int, int, bytes] | None, record: Record, digest: bytes, now: int) -> Verdict:
    """What to do about a verified record of a member.

    Args:
        held: incarnation, seq and digest of the one that is held; None where there is none.
        record: the new one.
        digest: SHA-256 of its bytes.
        now: milliseconds since 1970.
    """
    if record.expires <= now:
        return Verdict.EXPIRED
    if record.created > now + MAX_SKEW_MS:
        return Verdict.EARLY
    if held is None or record.age > held[:2]:
        return Verdict.NEWS
    return Verdict.CONFLICT if record.age == held[:2] and digest != held[2] else Verdict.KNOWN


def _fault(why: str) -> PeerFault:
    return PeerFault("a peer record was refused", code=Code.BAD_RECORD, why=why)


def _are_names(most: int) -> Callable[[object], bool]:
    def check(value: object) -> bool:
        return type(value) is list and len(value) <= most and all(map(ids.is_name, value)) and _are_unique(value)

    return check


def _are_unique(values: list[Any]) -> bool:
    return len(set(values)) == len(values)


def _are_links(value: object) -> bool:
    is_id = is_bytes(ids.PUBLIC_KEY_BYTES)
    return type(value) is list and len(value) <= MAX_LINKED and all(map(is_id, value)) and _are_unique(value)


def _is_version(value: object) -> bool:
    return type(value) is str and len(value) <= MAX_VERSION and value.isprintable()


_CHECKS: dict[str, Callable[[object], bool]] = {
    "public": is_bytes(ids.PUBLIC_KEY_BYTES),
    "sealing_public": is_bytes(ids.PUBLIC_KEY_BYTES),
    "incarnation": is_count,
    "seq": is_count,
    "created": is_count,
    "expires": is_count,
    "addresses": are_addresses,
    "always_on": lambda value: type(value) is bool,
    "capabilities": _are_names(MAX_CAPABILITIES),
    "agents": _are_names(MAX_AGENTS),
    "version": _is_version,
    "linked": _are_links,
}


def pack_record(record: Record) -> bytes:
    """The bytes the owner signs."""
    plain = {name: getattr(record, name) for name in _CHECKS}
    return pack(plain | {"linked": [ids.to_digest(peer) for peer in record.linked]})


def fitting(record: Record) -> Record:
    """The record, the ends of its longest lists cut until it fits 4 KiB."""
    while len(pack_record(record)) > MAX_RECORD:
        longest = max(_TRIMMED, key=lambda name: len(pack(getattr(record, name))))
        record = replace(record, **{longest: getattr(record, longest)[:-1]})
    return record


def _content(data: bytes) -> dict[str, Any]:
    try:
        content = unpack(data, MAX_RECORD)
    except PeerFault as error:
        raise _fault(error.why) from None
    if type(content) is not dict:
        raise _fault("it is no map")
    return content


def owner_of(data: bytes) -> BrokerId:
    """Whose record this claims to be, before anything else of it is looked at.

    Raises:
        PeerFault: `bad_record`.
    """
    public = _content(data).get("public")
    if not is_bytes(ids.PUBLIC_KEY_BYTES)(public):
        raise _fault("its field 'public' is missing or wrong")
    return ids.broker_id(bytes(public or b""))


def unpack_record(data: bytes) -> Record:
    """The record in these bytes; unknown keys are ignored, so that later versions may add some.

    Raises:
        PeerFault: `bad_record`.
    """
    content = _content(data)
    for name, check in _CHECKS.items():
        if not check(content.get(name)):
            raise _fault(f"its field {name!r} is missing or wrong")
    if pack(content) != data:
        raise _fault("it is not in its shortest form")
    if not 0 < content["expires"] - content["created"] <= MAX_LIFE_MS:
        raise _fault("it lives longer than 48 h, or not at all")
    known = {name: content[name] for name in _CHECKS}
    lists = {name: tuple(content[name]) for name in ("addresses", "capabilities", "agents")}
    return Record(**known | lists | {"linked": tuple(map(ids.from_digest, content["linked"]))})

"""Names of brokers, spawns and envelopes.

A broker id is the fingerprint of its Ed25519 public key: base32 of SHA-256 (52 letters) and four check
letters, so that a mistyped id is caught before it is looked up. A name is only a label.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from typing import NewType

from relay.core.errors import Code, Misuse

BrokerId = NewType("BrokerId", str)

PUBLIC_KEY_BYTES = 32
DIGEST_CHARS, CHECK_CHARS = 52, 4
SHORT_CHARS = 8
SPAWN_ID_BYTES = 10
ENVELOPE_ID_BYTES = 16
MAX_NAME = 64

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")
_SPAWN_ID = re.compile(r"[a-z2-7]{16}\Z")
_OPERATION = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}\Z")


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode("ascii").rstrip("=").lower()


def _check_letters(digest_text: str) -> str:
    return _base32(hashlib.sha256(b"relay-id-check/1" + digest_text.encode("ascii")).digest())[:CHECK_CHARS]


def digest_of(public_key: bytes) -> bytes:
    """SHA-256 (32 bytes) of a raw Ed25519 public key (32 bytes): a broker id as it stands on the wire."""
    return hashlib.sha256(public_key).digest()


@lru_cache(4096)
def from_digest(digest: bytes) -> BrokerId:
    """The text form of a broker id from its 32 wire bytes."""
    text = _base32(digest)
    return BrokerId(text + _check_letters(text))


def broker_id(public_key: bytes) -> BrokerId:
    """The id of the broker that holds this raw Ed25519 public key (32 bytes)."""
    return from_digest(digest_of(public_key))


@lru_cache(4096)
def to_digest(broker: BrokerId) -> bytes:
    """The 32 wire bytes of a broker id that is known to be well formed."""
    return base64.b32decode(broker[:DIGEST_CHARS].upper() + "====")


def parse_broker_id(text: str) -> BrokerId:
    """A broker id as a person typed it: groups, dashes, spaces and capitals allowed.

    Raises:
        Misuse: it is no broker id, or its check letters do not fit.
    """
    plain = re.sub(r"[\s-]", "", text).lower()
    if not re.fullmatch(r"[a-z2-7]{56}", plain) or _check_letters(plain[:DIGEST_CHARS]) != plain[DIGEST_CHARS:]:
        raise Misuse(
            "that is not a broker id",
            code=Code.UNKNOWN_BROKER,
            why="a broker id has 56 letters and digits, the last four of which check the others",
            hint="relay brokers",
        )
    return BrokerId(plain)


def grouped(broker: BrokerId) -> str:
    """A broker id in eight groups of seven, to be compared by eye."""
    return "-".join(broker[at : at + 7] for at in range(0, len(broker), 7))


def short(broker: BrokerId) -> str:
    """The first eight letters: enough for people, never for a grant."""
    return broker[:SHORT_CHARS]


def spawn_id(random: bytes) -> str:
    """A spawn id (16 letters) from ten random bytes."""
    return _base32(random[:SPAWN_ID_BYTES])


def is_spawn_id(text: object) -> bool:
    """Whether this is a well-formed spawn id; it becomes part of a folder's name, so nothing else may pass."""
    return isinstance(text, str) and _SPAWN_ID.match(text) is not None


def is_name(text: object) -> bool:
    """Whether this may name a broker, a spawn or an agent: 1 to 64 of a-z 0-9 . _ - and a letter or digit first."""
    return isinstance(text, str) and _NAME.match(text) is not None


def is_operation(text: object) -> bool:
    """Whether this may be an operation id: 1 to 128 printable characters without spaces."""
    return isinstance(text, str) and _OPERATION.match(text) is not None


def require_name(text: str, what: str) -> str:
    """The name itself, or a Misuse that says what a name looks like.

    Args:
        text: the candidate.
        what: what it names, for the sentence ("a spawn's name").
    """
    if is_name(text):
        return text
    raise Misuse(
        f"{text[:80]!r} cannot be {what}",
        code=Code.BAD_NAME,
        why="a name has 1 to 64 of a-z, 0-9, '.', '_' and '-', and starts with a letter or digit",
        hint="choose another name",
    )

"""This broker's identity: an Ed25519 key that signs, and X25519 keys that others seal to."""

from __future__ import annotations

import hashlib
import json
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from nacl import bindings
from nacl.exceptions import RuntimeError as SodiumRefusal

from relay.core import ids
from relay.core.envelope import KEY_ID_BYTES
from relay.core.errors import Code, PeerFault
from relay.core.ids import BrokerId
from relay.core.values import frozen
from relay.trust.keyfile import bad_key_file, create_private, key_field, load_key_document, replace_private

FILE_VERSION = 1
SEED_BYTES = 32
KEEP_RETIRED_MS = 31 * 86_400_000  # longer than the longest time to live of an envelope, 30 days
_ANY_SCALAR = b"\x40" * 32


def key_id_of(sealing_public: bytes) -> bytes:
    """The 8 bytes by which an envelope names the X25519 key it is sealed to."""
    return hashlib.sha256(sealing_public).digest()[:KEY_ID_BYTES]


@frozen
class SealingKey:
    """One X25519 key pair.

    Attributes:
        public: 32 bytes.
        secret: 32 bytes; not shown.
        key_id: first 8 bytes of SHA-256 of `public`.
        retired: since when another is current, milliseconds since 1970; None for the current one.
    """

    public: bytes
    secret: bytes = field(repr=False)
    key_id: bytes
    retired: int | None = None


def _sealing_key(secret: bytes, retired: int | None = None) -> SealingKey:
    public = bindings.crypto_scalarmult_base(secret)
    return SealingKey(public, secret, key_id_of(public), retired)


@frozen
class Identity:
    """This broker's keys.

    Attributes:
        id: the broker's id.
        public: its raw Ed25519 key, 32 bytes.
        seed: the secret it comes from, 32 bytes; not shown.
        sealing_keys: the current X25519 key first, then those retired less than 31 days ago.
    """

    id: BrokerId
    public: bytes
    seed: bytes = field(repr=False)
    sealing_keys: tuple[SealingKey, ...]
    _secret: bytes = field(repr=False, compare=False)

    @classmethod
    def create(cls, seed_random32: bytes, sealing_random32: bytes) -> Identity:
        """The identity made from 32 and 32 random bytes."""
        return cls._of(seed_random32, (_sealing_key(sealing_random32),))

    @classmethod
    def _of(cls, seed: bytes, sealing_keys: tuple[SealingKey, ...]) -> Identity:
        public, secret = bindings.crypto_sign_seed_keypair(seed)
        return cls(ids.broker_id(public), public, seed, sealing_keys, secret)

    @property
    def sealing(self) -> SealingKey:
        """The X25519 key that others are to seal to now."""
        return self.sealing_keys[0]

    def sign(self, data: bytes) -> bytes:
        """The Ed25519 signature (64 bytes) of these bytes; they must start with a domain string."""
        signed: bytes = bindings.crypto_sign(data, self._secret)
        return signed[:64]

    def sealing_key(self, key_id: bytes) -> SealingKey | None:
        """The X25519 key of this id, if it is still held."""
        return next((key for key in self.sealing_keys if key.key_id == key_id), None)

    def with_sealing(self, sealing_random32: bytes, now: int) -> Identity:
        """The same identity with a new current X25519 key; those retired for 31 days are dropped.

        Args:
            sealing_random32: 32 random bytes.
            now: milliseconds since 1970.
        """
        retired = (replace(key, retired=now if key.retired is None else key.retired) for key in self.sealing_keys)
        kept = tuple(key for key in retired if now - (key.retired or now) < KEEP_RETIRED_MS)
        return self._of(self.seed, (_sealing_key(sealing_random32), *kept))


def check_public_key(public: bytes) -> bytes:
    """The key itself, when it is a point of Ed25519's main subgroup.

    Raises:
        PeerFault: a wrong length, no point, or of small order (whose signatures anybody can make).
    """
    if len(public) != ids.PUBLIC_KEY_BYTES or not bindings.crypto_core_ed25519_is_valid_point(public):
        raise PeerFault("a public key was refused", code=Code.BAD_SIGNATURE, why="it is no valid Ed25519 key")
    return public


def check_sealing_key(public: bytes) -> bytes:
    """The X25519 key itself, when something can be sealed to it.

    Raises:
        PeerFault: a wrong length, or of small order (whose boxes anybody can open).
    """
    try:
        if len(public) != ids.PUBLIC_KEY_BYTES:  # the binding itself would read past a short one
            raise ValueError("length")
        bindings.crypto_scalarmult(_ANY_SCALAR, public)
    except (SodiumRefusal, ValueError):
        raise PeerFault("a public key was refused", code=Code.BAD_SIGNATURE, why="it is no valid X25519 key") from None
    return public


def _to_json(identity: Identity) -> bytes:
    keys = [{"secret": key.secret.hex(), "retired": key.retired} for key in identity.sealing_keys]
    note = "This is the private key of this machine's broker. Never copy it to another machine."
    document = {
        "note": note,
        "version": FILE_VERSION,
        "broker": identity.id,
        "seed": identity.seed.hex(),
        "sealing": keys,
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def save_identity(path: Path, identity: Identity) -> None:
    """Write a new identity file, mode 0600, durable on return.

    Raises:
        LocalFault: one exists already, or it cannot be written.
    """
    create_private(path, _to_json(identity), Code.BAD_KEY_FILE, "relay status")


def update_identity(path: Path, identity: Identity) -> None:
    """Replace the file, for a change of X25519 key.

    Raises:
        LocalFault: it cannot be written.
    """
    replace_private(path, _to_json(identity), Code.BAD_KEY_FILE)


def _read_sealing(entry: Any) -> SealingKey:
    if not isinstance(entry, dict) or not isinstance(entry.get("retired"), int | None):
        raise ValueError("its field 'sealing' is missing or wrong")
    return _sealing_key(key_field(entry, "secret", SEED_BYTES), entry["retired"])


def _read(document: dict[str, Any]) -> Identity:
    entries = document.get("sealing")
    if document.get("version") != FILE_VERSION or not isinstance(entries, list) or not entries:
        raise ValueError("it was written by another version of relay, or by hand")
    keys = tuple(map(_read_sealing, entries))
    identity = Identity._of(key_field(document, "seed", SEED_BYTES), keys)
    if document.get("broker") != identity.id:
        raise ValueError("the id it names is not the one of its key")
    return identity


def load_identity(path: Path) -> Identity:
    """The identity in a file.

    Raises:
        LocalFault: `not_set_up` when it is missing, `bad_key_file` when broken or open to others.
    """
    document = load_key_document(path, "identity", "relay init")
    try:
        return _read(document)
    except (ValueError, KeyError) as error:
        raise bad_key_file(path, str(error)) from None

"""The workspace: 32 shared bytes, the certificate authority made from them, and each broker's own leaf.

The id is a hash of the creator's key and a nonce, so that who knows the id knows whose word on the roster
counts. The CA key is HKDF of the workspace key for one epoch; every member can make it, which is why a
certificate only says "holds the workspace key": who it is, the leaf's key says, and the roster decides.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
from dataclasses import field, replace
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from relay.core import ids
from relay.core.envelope import authenticated
from relay.core.epochs import FIRST_EPOCH, KEY_BYTES, MAX_BLOCK, MAX_EPOCHS
from relay.core.errors import Code, PeerFault
from relay.core.hello import is_bytes, is_count
from relay.core.ids import BrokerId
from relay.core.statements import WORKSPACE_ID_CHARS
from relay.core.values import frozen
from relay.trust.identity import Identity, check_public_key
from relay.trust.keyfile import bad_key_file, key_field, load_key_document, replace_private

FILE_VERSION = 1
NONCE_BYTES = 16
_ID_DOMAIN = b"relay-workspace/1"
_SERIAL_DOMAIN = b"relay-serial/1"
# Clocks of members may be years off, and are judged in hellos: no certificate is ever early or late.
NOT_BEFORE = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
NOT_AFTER = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)


def workspace_id(root_public: bytes, nonce: bytes) -> str:
    """The id (26 letters, 130 bits) of the workspace this creator made with this nonce (16 bytes)."""
    digest = hashlib.sha256(authenticated(_ID_DOMAIN, root_public, nonce)).digest()
    return base64.b32encode(digest).decode("ascii").lower()[:WORKSPACE_ID_CHARS]


@frozen
class Former:
    """One epoch as a member holds it.

    Attributes:
        epoch: its number, from 1.
        key: the workspace key of it, 32 bytes; not shown.
        rotation: the signed block by which it began; empty for the first.
    """

    epoch: int
    key: bytes = field(repr=False)
    rotation: bytes = field(repr=False)


@frozen
class Workspace:
    """One workspace as a member holds it.

    Attributes:
        id: 26 letters.
        name: a label.
        key: the shared secret, 32 bytes; not shown.
        epoch: from 1, raised by each rotation.
        root: the creator's id.
        root_public: its raw Ed25519 key, 32 bytes.
        nonce: what the id was made with, 16 bytes.
        rotation: the signed block by which the epoch began; empty for the first.
        former: the epochs before it that are held, oldest first: members still come with them.
    """

    id: str
    name: str
    key: bytes = field(repr=False)
    epoch: int
    root: BrokerId
    root_public: bytes
    nonce: bytes
    rotation: bytes = field(default=b"", repr=False)
    former: tuple[Former, ...] = ()

    @property
    def epochs(self) -> tuple[Former, ...]:
        """Every epoch that is held, the present one last."""
        return (*self.former, Former(self.epoch, self.key, self.rotation))

    def at(self, held: Former) -> Workspace:
        """The workspace as it was in one of its epochs."""
        return replace(self, epoch=held.epoch, key=held.key, rotation=held.rotation, former=())

    @classmethod
    def create(cls, random32: bytes, name: str, identity: Identity, nonce: bytes) -> Workspace:
        """A new workspace with this broker as its root, from 32 and 16 random bytes."""
        made = workspace_id(identity.public, nonce)
        return cls(made, name, random32, FIRST_EPOCH, identity.id, identity.public, nonce)

    def facts(self) -> dict[str, Any]:
        """All but the key, as it crosses a pairing connection."""
        return {
            "id": self.id,
            "name": self.name,
            "epoch": self.epoch,
            "root_public": self.root_public,
            "nonce": self.nonce,
        } | ({"rotation": self.rotation} if self.rotation else {})


def workspace_of(facts: dict[str, Any], key: bytes) -> Workspace:
    """The workspace of `Workspace.facts` and its key, the id checked against the root's key.

    Raises:
        PeerFault: a field is missing or wrong, or the id is not that root's.
    """
    name, epoch, public, nonce = (facts.get(part) for part in ("name", "epoch", "root_public", "nonce"))
    fits = ids.is_name(name) and is_count(epoch) and is_bytes(32)(public) and is_bytes(NONCE_BYTES)(nonce)
    if not fits or not is_bytes(KEY_BYTES)(key) or not epoch:
        raise PeerFault("a workspace was refused", why="a field of it is missing or wrong")
    root_public, made_with = bytes(public or b""), bytes(nonce or b"")
    if facts.get("id") != workspace_id(check_public_key(root_public), made_with):
        raise PeerFault("a workspace was refused", why="its id does not belong to its creator's key")
    root = ids.broker_id(root_public)
    rotation = facts.get("rotation", b"")
    if type(rotation) is not bytes or len(rotation) > MAX_BLOCK:
        raise PeerFault("a workspace was refused", why="the rotation that its epoch began by has another form")
    return Workspace(str(facts["id"]), str(name), key, int(epoch), root, root_public, made_with, rotation)


def save_workspace(path: Path, workspace: Workspace) -> None:
    """Write the workspace file, mode 0600, in the place of any there is, durable on return.

    Raises:
        LocalFault: it cannot be written.
    """
    texts = {name: value.hex() if isinstance(value, bytes) else value for name, value in workspace.facts().items()}
    note = "Whoever has this key can reach the brokers of this workspace. Add machines with: relay invite"
    document = {"note": note, "version": FILE_VERSION} | texts | {"key": workspace.key.hex()}
    if workspace.former:
        document["former"] = [
            {"epoch": each.epoch, "key": each.key.hex(), "rotation": each.rotation.hex()} for each in workspace.former
        ]
    replace_private(path, json.dumps(document, indent=1).encode() + b"\n", Code.BAD_KEY_FILE)


def load_workspace(path: Path) -> Workspace:
    """The workspace in a file.

    Raises:
        LocalFault: `not_set_up` when it is missing, `bad_key_file` when broken or open to others.
    """
    document = load_key_document(path, "workspace", "relay init")
    try:
        if document.get("version") != FILE_VERSION:
            raise ValueError("it was written by another version of relay, or by hand")
        public, nonce = key_field(document, "root_public", 32), key_field(document, "nonce", NONCE_BYTES)
        facts = document | {"root_public": public, "nonce": nonce, "rotation": _block_field(document)}
        workspace = workspace_of(facts, key_field(document, "key", KEY_BYTES))
        return replace(workspace, former=tuple(map(_read_former, _former_field(document))))
    except ValueError as error:
        raise bad_key_file(path, str(error)) from None
    except PeerFault as error:
        raise bad_key_file(path, error.why) from None


def _block_field(document: dict[str, Any]) -> bytes:
    text = document.get("rotation", "")
    try:
        return bytes.fromhex(text)
    except (TypeError, ValueError):
        raise ValueError("its field 'rotation' is wrong") from None


def _former_field(document: dict[str, Any]) -> list[dict[str, Any]]:
    found = document.get("former", [])
    if not isinstance(found, list) or len(found) > MAX_EPOCHS or not all(isinstance(each, dict) for each in found):
        raise ValueError("its field 'former' is wrong")
    return found


def _read_former(entry: dict[str, Any]) -> Former:
    epoch = entry.get("epoch")
    if not is_count(epoch) or not epoch:
        raise ValueError("its field 'former' is wrong")
    return Former(int(epoch), key_field(entry, "key", KEY_BYTES), _block_field(entry))


def ca_key(workspace: Workspace) -> Ed25519PrivateKey:
    """The private key of the epoch's certificate authority: HKDF-SHA-256 of the workspace key (RFC 5869)."""
    info = b"relay-ca/1 epoch " + str(workspace.epoch).encode("ascii")
    seed = HKDF(SHA256(), 32, salt=workspace.id.encode("ascii"), info=info).derive(workspace.key)
    return Ed25519PrivateKey.from_private_bytes(seed)


def _name(workspace: Workspace, what: str) -> x509.Name:
    text = f"relay {workspace.id} epoch {workspace.epoch}"
    parts = ((NameOID.ORGANIZATION_NAME, text), (NameOID.COMMON_NAME, what))
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


def _serial(*parts: bytes) -> int:
    # Positive and below 2**159 (RFC 5280, 4.1.2.2); made from the key, so that a leaf is the same each time.
    return (int.from_bytes(hashlib.sha256(authenticated(_SERIAL_DOMAIN, *parts)).digest()[:19], "big") >> 1) | 1


def _usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(workspace: Workspace, what: str, public: Ed25519PublicKey, authority: bool) -> x509.CertificateBuilder:
    issuer = ca_key(workspace).public_key()
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer)
    return (
        x509.CertificateBuilder(not_valid_before=NOT_BEFORE, not_valid_after=NOT_AFTER)
        .subject_name(_name(workspace, what))
        .issuer_name(_name(workspace, "workspace"))
        .public_key(public)
        .serial_number(_serial(issuer.public_bytes_raw(), public.public_bytes_raw()))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=0 if authority else None), critical=True)
        .add_extension(_usage(authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(identifier, critical=False)
    )


def ca_certificate(workspace: Workspace) -> x509.Certificate:
    """The epoch's certificate authority, the same bytes on every member."""
    key = ca_key(workspace)
    return _builder(workspace, "workspace", key.public_key(), authority=True).sign(key, None)


def leaf_certificate(workspace: Workspace, identity: Identity) -> x509.Certificate:
    """This broker's certificate of the epoch: its key is the broker's identity, good for both roles of TLS."""
    public = Ed25519PublicKey.from_public_bytes(identity.public)
    roles = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    names = x509.SubjectAlternativeName([x509.DNSName(ids.short(identity.id) + ".relay.invalid")])
    builder = _builder(workspace, identity.id, public, authority=False)
    return (
        builder.add_extension(roles, critical=False).add_extension(names, critical=False).sign(ca_key(workspace), None)
    )

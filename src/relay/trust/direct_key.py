"""The key and certificate of one direct way to a task: made for it, and known by the certificate's hash alone."""

from __future__ import annotations

import hashlib
import os
from dataclasses import field

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from relay.core.values import frozen
from relay.trust.workspace import NOT_AFTER, NOT_BEFORE

SECRET_BYTES = 32


@frozen
class DirectKey:
    """What one direct way is made with.

    Attributes:
        pem: the certificate and its private key, for who listens; not shown.
        pin: the SHA-256 of the certificate, for who comes.
        secret: 32 bytes that who comes shows first; not shown.
    """

    pem: bytes = field(repr=False)
    pin: bytes
    secret: bytes = field(repr=False)


def direct_key() -> DirectKey:
    """A fresh one. It names no broker and no workspace: on the wire nobody reads whose it is."""
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay")])
    made = (
        x509.CertificateBuilder(not_valid_before=NOT_BEFORE, not_valid_after=NOT_AFTER)
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .sign(key, None)
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pin = hashlib.sha256(made.public_bytes(Encoding.DER)).digest()
    return DirectKey(made.public_bytes(Encoding.PEM) + private, pin, os.urandom(SECRET_BYTES))

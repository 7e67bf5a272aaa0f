"""The key by which this broker is known to the services that carry Web Push: P-256, of this broker alone."""

from __future__ import annotations

import shlex
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from relay.core.errors import Code, LocalFault
from relay.trust.keyfile import create_private, read_private

SECRET_BYTES = 32


def load(path: Path) -> ec.EllipticCurvePrivateKey:
    """The key in a file.

    Raises:
        FileNotFoundError: there is no such file.
        LocalFault: `bad_key_file`.
    """
    text = read_private(path, Code.BAD_KEY_FILE)
    try:
        secret = bytes.fromhex(text.decode("ascii").strip())
        if len(secret) == SECRET_BYTES:
            return ec.derive_private_key(int.from_bytes(secret, "big"), ec.SECP256R1())
    except ValueError:
        pass
    hint = f"{shlex.join(['rm', str(path)])}, and turn notifications on anew in each browser"
    raise LocalFault(f"{path} is damaged", code=Code.BAD_KEY_FILE, why="it holds no key", hint=hint)


def load_or_make(path: Path) -> ec.EllipticCurvePrivateKey:
    """The key in a file, which is made where there is none.

    Raises:
        LocalFault: `bad_key_file`, also where it cannot be written.
    """
    try:
        return load(path)
    except FileNotFoundError:
        made = ec.generate_private_key(ec.SECP256R1())
    secret = made.private_numbers().private_value.to_bytes(SECRET_BYTES, "big")
    create_private(path, secret.hex().encode("ascii") + b"\n", Code.BAD_KEY_FILE, "relay doctor")
    return made


def public_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Its public half, as browsers take it: 65 bytes."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

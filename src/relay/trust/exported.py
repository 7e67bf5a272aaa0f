"""A home's keys in one file under a passphrase: what brings a broker back after its disk was lost.

    {"note", "version", "broker", "kdf": "argon2id", "ops", "memory", "salt", "box"}

The box is a NaCl SecretBox under Argon2id (RFC 9106) of the passphrase; in it stand the identity, the workspace and its
roster, as their files have them. The limits are libsodium's "moderate": about 0.7 s and 256 MiB a guess.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from nacl import pwhash, secret
from nacl.exceptions import CryptoError

from relay.core.errors import Code, LocalFault, Misuse
from relay.trust.founding import HomeFiles, make_home
from relay.trust.identity import Identity, load_identity
from relay.trust.keyfile import create_private, key_field, load_key_document, read_private, replace_private, taken
from relay.trust.workspace import load_workspace

VERSION = 1
MIN_PASSPHRASE = 8
MAX_OPS, MAX_MEMORY = 16, 1 << 30  # of a file that came from elsewhere: opening it must not take this machine down
_PARTS = ("roster", "identity_key", "workspace_key")  # the workspace last: its presence is what "set up" means
_ELSEWHERE = "relay identity export FILE, with another name"
_derive = pwhash.argon2id.kdf


def check_passphrase(passphrase: str) -> bytes:
    """The passphrase as bytes.

    Raises:
        Misuse: it has fewer than 8 letters.
    """
    if len(passphrase) < MIN_PASSPHRASE:
        why = f"it has fewer than {MIN_PASSPHRASE} letters"
        raise Misuse("the passphrase is too short", why=why, hint="type a longer one")
    return passphrase.encode("utf-8", "surrogateescape")


def require_free(to: Path) -> None:
    """Go on only where nothing has this name: before a person is asked for a passphrase.

    Raises:
        LocalFault: something has it.
    """
    if os.path.lexists(to):
        raise taken(to, _ELSEWHERE)


def export(home: HomeFiles, to: Path, passphrase: str) -> Identity:
    """Write the keys of a home into a new file of mode 0600, durable on return; whose they are.

    Raises:
        Misuse: the passphrase is too short.
        LocalFault: the home is not set up, or the file exists already or cannot be written.
    """
    phrase = check_passphrase(passphrase)
    identity = load_identity(Path(home.identity_key))
    load_workspace(Path(home.workspace_key))
    texts = {part: _text(Path(getattr(home, part))) for part in _PARTS}
    salt = os.urandom(pwhash.argon2id.SALTBYTES)
    document = {
        "note": "These are the private keys of a broker, under a passphrase. To use them: relay identity import FILE",
        "version": VERSION,
        "broker": identity.id,
        "kdf": "argon2id",
        "ops": pwhash.argon2id.OPSLIMIT_MODERATE,
        "memory": pwhash.argon2id.MEMLIMIT_MODERATE,
        "salt": salt.hex(),
    }
    box = _box(phrase, salt, document).encrypt(json.dumps(texts).encode())
    data = json.dumps(document | {"box": box.hex()}, indent=1).encode() + b"\n"
    create_private(to, data, Code.BAD_KEY_FILE, _ELSEWHERE)
    return identity


def _text(path: Path) -> str:
    return path.read_text() if path.name == "roster.json" else read_private(path, Code.BAD_KEY_FILE).decode()


def _box(phrase: bytes, salt: bytes, document: dict[str, Any]) -> secret.SecretBox:
    size = secret.SecretBox.KEY_SIZE
    return secret.SecretBox(_derive(size, phrase, salt, opslimit=document["ops"], memlimit=document["memory"]))


def take_back(home: HomeFiles, file: Path, passphrase: str) -> Identity:
    """Put the keys of an export into a home that has none; whose they are.

    The broker that runs on it then has an empty store: peers that know later starts of it say so, and it takes nothing
    in until `relay identity keep`.

    Raises:
        Misuse: `already_set_up`; or the passphrase is another.
        LocalFault: `bad_key_file`.
    """
    if Path(home.workspace_key).exists() or Path(home.identity_key).exists():
        raise Misuse(
            f"{home.path} has an identity already",
            code=Code.ALREADY_SET_UP,
            why="an import never writes over keys",
            hint=f"relay --home DIR identity import {file}, with another folder",
        )
    texts = _opened(file, passphrase.encode("utf-8", "surrogateescape"))
    make_home(home)
    for part in _PARTS:
        replace_private(Path(getattr(home, part)), texts[part].encode(), Code.BAD_KEY_FILE)
    load_workspace(Path(home.workspace_key))
    return load_identity(Path(home.identity_key))


def _opened(file: Path, phrase: bytes) -> dict[str, str]:
    document = load_key_document(file, "export", "relay identity export FILE, on the machine that has the keys")
    try:
        box = bytes.fromhex(document["box"])
        opened = _box(phrase, key_field(document, "salt", pwhash.argon2id.SALTBYTES), _limited(document)).decrypt(box)
        texts = json.loads(opened)
    except CryptoError:
        raise Misuse("the passphrase is another", why="the file does not open with it", hint="type it again") from None
    except (ValueError, KeyError, TypeError):
        texts = None
    if not isinstance(texts, dict) or not all(isinstance(texts.get(part), str) for part in _PARTS):
        raise _damaged(file)
    return texts


def _limited(document: dict[str, Any]) -> dict[str, Any]:
    ops, memory = document.get("ops"), document.get("memory")
    fits = type(ops) is int and 0 < ops <= MAX_OPS and type(memory) is int and 0 < memory <= MAX_MEMORY
    if document.get("version") != VERSION or document.get("kdf") != "argon2id" or not fits:
        raise ValueError("it was written by another version of relay, or by hand")
    return document


def _damaged(file: Path) -> LocalFault:
    why = "it is not what relay identity export writes, or a part of it is missing"
    return LocalFault(f"{file} is damaged", code=Code.BAD_KEY_FILE, why=why, hint="use another copy of it")

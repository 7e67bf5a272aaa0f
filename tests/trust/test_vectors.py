"""Golden vectors: bytes that every version of Relay must make and read alike.

Each test builds its vector from fixed seeds and compares it with `tests/vectors/*.json`. To make a file anew after a
wanted change of the protocol, delete it and run the test once: it writes the file and fails, to be reviewed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from nacl import bindings

from relay.core.envelope import (
    Body,
    Header,
    authenticated,
    pack_body,
    pack_envelope,
    pack_header,
    signing_input,
    unpack_envelope,
)
from relay.core.epochs import checked_epochs, commitment
from relay.core.hello import AuditHead, Binding, Hello, Role, pack_hello
from relay.core.pairing import InviteLink, format_link, parse_link, proof_of
from relay.core.wire import pack, unpack
from relay.trust.epochs import content_of, merged, rotated, verify_rotation
from relay.trust.hello import sign_hello, verify_hello
from relay.trust.pairing import make_request, open_request
from relay.trust.roster import admit, demote, evict, promote, read_roster, verify_statement
from relay.trust.sealing import PeerKeys, open_body, verify
from relay.trust.tls import server_name

from .seeds import HOME, LAPTOP, NOW, ROOT, STRANGER, VPS, folded, founded, member

FOLDER = Path(__file__).parent.parent / "vectors"
EPHEMERAL_SECRET = b"\x77" * 32


def golden(name: str, built: dict[str, Any]) -> dict[str, Any]:
    """The stored vector, when it is the one that was built."""
    path = FOLDER / f"{name}.json"
    if not path.exists():
        path.write_text(json.dumps(built, indent=2) + "\n")
        pytest.fail(f"{path} was missing and has been written; review it and commit it")
    stored: dict[str, Any] = json.loads(path.read_text())
    assert built == stored
    return stored


def keys(identity: Any) -> dict[str, str]:
    """An identity's seeds and public keys."""
    return {
        "ed25519_seed": identity.seed.hex(),
        "ed25519_public": identity.public.hex(),
        "x25519_secret": identity.sealing.secret.hex(),
        "x25519_public": identity.sealing.public.hex(),
        "x25519_key_id": identity.sealing.key_id.hex(),
        "broker_id": identity.id,
    }


def sealed_box(message: bytes, recipient: bytes) -> bytes:
    """A NaCl SealedBox whose one-time key is fixed: epk, then box(m) under nonce BLAKE2b-192(epk, recipient)."""
    public = bindings.crypto_scalarmult_base(EPHEMERAL_SECRET)
    nonce = hashlib.blake2b(public + recipient, digest_size=24).digest()
    return public + bindings.crypto_box(message, nonce, recipient, EPHEMERAL_SECRET)


def test_envelope() -> None:
    header = Header("stop", b"\x10" * 16, LAPTOP.id, VPS.id, VPS.sealing.key_id, 7, NOW, NOW + 604_800_000)
    header_bytes = pack_header(header)
    body = Body("op-1", {"spawn": "a" * 16}, ("spawn",))
    plain = pack_body(header, header_bytes, body)
    sealed = sealed_box(plain, VPS.sealing.public)
    signed = signing_input(header_bytes, sealed)
    raw = pack_envelope(header_bytes, sealed, LAPTOP.sign(signed))
    stored = golden(
        "envelope",
        {
            "origin": keys(LAPTOP),
            "recipient": keys(VPS),
            "header": dataclasses.asdict(header) | {"id": header.id.hex(), "key_id": header.key_id.hex()},
            "body": {"operation": body.operation, "content": body.content, "critical": list(body.critical)},
            "header_bytes": header_bytes.hex(),
            "body_bytes": plain.hex(),
            "ephemeral_secret": EPHEMERAL_SECRET.hex(),
            "sealed": sealed.hex(),
            "signing_input": signed.hex(),
            "signature": LAPTOP.sign(signed).hex(),
            "envelope": raw.hex(),
            "digest": unpack_envelope(raw).digest.hex(),
        },
    )
    envelope = unpack_envelope(bytes.fromhex(stored["envelope"]))
    verify(envelope, LAPTOP.public)
    assert PeerKeys.of(VPS).key_id == envelope.header.key_id
    assert open_body(VPS, envelope) == body


def test_roster() -> None:
    statements = founded()
    statements.append(evict(ROOT, HOME, folded(*statements), LAPTOP.id, NOW + 2, "lost on a train"))
    roster = folded(*statements)
    stored = golden(
        "roster",
        {
            "root": keys(ROOT),
            "workspace": HOME.facts() | {"root_public": ROOT.public.hex(), "nonce": HOME.nonce.hex()},
            "statements": [
                {
                    "kind": str(item.kind),
                    "seq": item.seq,
                    "content": item.content.hex(),
                    "hash": item.hash.hex(),
                    "raw": item.raw.hex(),
                }
                for item in statements
            ],
            "members": sorted(roster.members),
            "head": roster.head.hex(),
        },
    )
    raws = [bytes.fromhex(item["raw"]) for item in stored["statements"]]
    assert read_roster(HOME, raws) == roster
    assert [verify_statement(HOME, raw).hash.hex() for raw in raws] == [item["hash"] for item in stored["statements"]]


def test_roster_of_several_signers() -> None:
    """ROOT promotes LAPTOP, which admits VPS and is demoted; what it signs after that counts not."""
    made = founded()

    def say(sign: Any, identity: Any, *words: Any) -> None:
        made.append(sign(identity, HOME, folded(*made), *words))

    say(promote, ROOT, LAPTOP.id, NOW + 2)
    say(admit, LAPTOP, member(VPS, "vps"), NOW + 3)
    late = admit(LAPTOP, HOME, folded(*made), member(STRANGER, "late"), NOW + 4)
    say(demote, ROOT, LAPTOP.id, NOW + 5, "sold")
    made.append(late)
    roster = folded(*made)
    stored = golden(
        "roster-signers",
        {
            "root": keys(ROOT),
            "workspace": HOME.facts() | {"root_public": ROOT.public.hex(), "nonce": HOME.nonce.hex()},
            "statements": [
                {"kind": str(each.kind), "signer": each.signer, "hash": each.hash.hex(), "raw": each.raw.hex()}
                for each in made
            ],
            "members": sorted(roster.members),
            "signers": roster.signers,
            "head": roster.head.hex(),
        },
    )
    assert read_roster(HOME, [bytes.fromhex(each["raw"]) for each in stored["statements"]]) == roster
    assert set(roster.members) == {ROOT.id, LAPTOP.id, VPS.id} and roster.signers == [ROOT.id]


def test_hello() -> None:
    binding = Binding(dialler=LAPTOP.public, listener=VPS.public)
    hello = Hello(
        versions=(1,),
        public=LAPTOP.public,
        name="laptop",
        role=Role.MEMBER,
        incarnation=7,
        nonce=b"\x20" * 16,
        roster_head=b"\x21" * 32,
        audit_head=AuditHead(12, b"\x22" * 32),
        binding=binding.digest,
        seen_of_you=3,
        addresses=("laptop.local:7411", "[fd7a::1]:7411"),
        clock_ms=NOW,
    )
    content = pack_hello(hello)
    stored = golden(
        "hello",
        {
            "dialler": keys(LAPTOP),
            "listener": keys(VPS),
            "binding": binding.digest.hex(),
            "content": content.hex(),
            "signing_input": authenticated(b"relay-hello/1", content).hex(),
            "raw": sign_hello(LAPTOP, hello).hex(),
        },
    )
    assert verify_hello(bytes.fromhex(stored["raw"]), LAPTOP.public, binding) == hello


def test_invite() -> None:
    link = InviteLink(ROOT.id, b"\x30" * 32, "home", NOW + 600_000, ("192.168.1.2:7411", "[fd7a::1]:7411"))
    request, raw = make_request(VPS, link, "vps", ("vps.example:7411",), b"\x31" * 16)
    stored = golden(
        "invite",
        {
            "inviter": keys(ROOT),
            "joiner": keys(VPS),
            "secret": link.secret.hex(),
            "workspace": link.workspace,
            "expires": link.expires,
            "addresses": list(link.addresses),
            "link": format_link(link),
            "invite_id": link.id.hex(),
            "verifier": link.verifier.hex(),
            "nonce": request.nonce.hex(),
            "proof": proof_of(link.verifier, request).hex(),
            "request": raw.hex(),
        },
    )
    assert parse_link(stored["link"]) == link
    assert open_request(bytes.fromhex(stored["request"])) == request


def test_epoch_vector() -> None:
    second = rotated(HOME, ROOT, b"\x21" * 32, 2, NOW)
    third = rotated(second, ROOT, b"\x22" * 32, 3, NOW + 1)
    built: dict[str, Any] = {
        "root": keys(ROOT),
        "workspace": {"id": HOME.id, "nonce": HOME.nonce.hex()},
        "epochs": [
            {
                "number": each.epoch,
                "key": each.key.hex(),
                "commitment": commitment(each.key).hex(),
                "server_name": server_name(third.at(each)),
                "rotation": each.rotation.hex(),
                "hash": verify_rotation(HOME, each.rotation).rank[1].hex() if each.rotation else "",
            }
            for each in third.epochs
        ],
        "content": pack(content_of(third)).hex(),
    }
    stored = golden("epoch", built)
    offered = checked_epochs(unpack(bytes.fromhex(stored["content"]), 8_192)["epochs"])
    assert merged(HOME, offered) == third

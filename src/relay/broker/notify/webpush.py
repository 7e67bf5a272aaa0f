"""Sends one message to one browser by Web Push: encrypted for it alone (RFC 8291), signed as this broker (RFC 8292).

Runs in the program that sends. The service that carries it reads neither what it says nor of which spawn it is.
"""

from __future__ import annotations

import http.client
import json
import os
import struct
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from relay.core.errors import LocalFault
from relay.core.push import Subscription, from_address, origin_of, text_of
from relay.trust.push_key import load, public_of

WITHIN_S = 20.0
TTL_S = 86_400
VALID_S = 12 * 3_600
RECORD = 4_096
STEP = 256
"""A text is filled up to a multiple of this: its length tells little of what it says."""
MOST_TEXT = 15 * STEP - 1
CONTACT = "mailto:nobody@relay.invalid"
"""Whom a service may write to; a broker is nobody's address, and some services want the form."""
GONE = (404, 410)
POINTLESS = (400, 401, 403, 413)


def _derived(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, info).derive(secret)


def sealed(to: Subscription, text: bytes, own: ec.EllipticCurvePrivateKey, salt: bytes) -> bytes:
    """A text encrypted for a browser, as `aes128gcm`.

    Args:
        to: the browser.
        text: what is said, filled up already.
        own: a key that is used for this message alone.
        salt: 16 random bytes.

    Raises:
        ValueError: the browser's key is no point of the curve.
    """
    other = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), to.key)
    shown = own.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    shared = own.exchange(ec.ECDH(), other)
    secret = _derived(shared, to.auth, b"WebPush: info\0" + to.key + shown, 32)
    key = _derived(secret, salt, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derived(secret, salt, b"Content-Encoding: nonce\0", 12)
    head = salt + struct.pack("!IB", RECORD, len(shown)) + shown
    return head + AESGCM(key).encrypt(nonce, text, None)


def _filled(text: bytes) -> bytes:
    """A text with the mark of its end and what fills it up."""
    return text + b"\2" + bytes(-(len(text) + 1) % STEP)


def vouched(endpoint: str, key: ec.EllipticCurvePrivateKey, now: int) -> str:
    """The `Authorization` by which a service knows this broker as the one that the browser let tell it something.

    Args:
        endpoint: of the browser.
        key: this broker's.
        now: seconds.
    """
    claims = {"aud": origin_of(endpoint), "exp": now + VALID_S, "sub": CONTACT}
    parts = ({"typ": "JWT", "alg": "ES256"}, claims)
    said = ".".join(text_of(json.dumps(each, separators=(",", ":")).encode()) for each in parts)
    r, s = decode_dss_signature(key.sign(said.encode(), ec.ECDSA(hashes.SHA256())))
    return f"vapid t={said}.{text_of(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}, k={text_of(public_of(key))}"


def _said(order: dict[str, Any]) -> bytes:
    push = order["push"]
    told = {"title": order["title"], "body": str(order["body"]), "event": push["event"], "spawn": push["spawn"]}
    text = json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    while len(text) > MOST_TEXT:
        told["body"] = told["body"][: len(told["body"]) * 3 // 4]
        text = json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    return text


class _Stays(urllib.request.HTTPRedirectHandler):
    """A service that sends elsewhere is none that was allowed."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        return None


def push(order: dict[str, Any]) -> dict[str, Any]:
    """Send what an order says; how that went.

    Args:
        order: as the sender gets it, with `push`: where this broker's key is, the event and the spawn.
    """
    to = from_address(str(order["address"]))
    if to is None:
        return {"ok": False, "bad": True, "error": "that is no address of a browser"}
    facts = order["push"]
    try:
        key = load(Path(facts["key"]))
        data = sealed(to, _filled(_said(order)), ec.generate_private_key(ec.SECP256R1()), os.urandom(16))
        headers = {
            "Authorization": vouched(to.endpoint, key, int(time.time())),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(TTL_S),
            "Topic": str(facts["event"]),
            "Urgency": "high" if order["level"] in ("warning", "failure") else "normal",
        }
    except (ValueError, LocalFault, FileNotFoundError) as fault:
        return {"ok": False, "bad": True, "error": f"it cannot be encrypted, or signed: {fault}"}
    return _posted(urllib.request.Request(to.endpoint, data, headers, method="POST"))  # noqa: S310 - by `origin_of`


def _posted(request: urllib.request.Request) -> dict[str, Any]:
    try:
        with urllib.request.build_opener(_Stays).open(request, timeout=WITHIN_S) as answer:
            return {"ok": 200 <= answer.status < 300, "error": f"the service answered {answer.status}"}
    except urllib.error.HTTPError as refused:
        refused.close()
        is_gone = refused.code in GONE
        why = "the browser takes no more: its service says that it is gone" if is_gone else "the service refused it"
        told = {"ok": False, "error": f"{why} ({refused.code})", "gone": is_gone}
        return told | {"bad": is_gone or refused.code in POINTLESS}
    except urllib.error.URLError as fault:
        return {"ok": False, "error": f"the service cannot be reached: {fault.reason}"}
    except (OSError, http.client.HTTPException) as fault:
        # it was asked whole, and may have taken it
        return {"ok": False, "error": f"the service did not answer: {fault}", "doubt": True}

"""A service of Web Push, and the browser behind it: it checks who sends, and reads what came with keys of its own."""

from __future__ import annotations

import base64
import json
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from relay.testing.processes import wait_until

AUTH = bytes(range(16))


def b64(data: bytes) -> str:
    """As on the wire."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """Back."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def point(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The public half."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


@dataclass(frozen=True, slots=True)
class Pushed:
    """One message: where it came, its headers, what it says, and the claims of who sent it."""

    path: str
    headers: dict[str, str]
    told: dict[str, Any]
    claims: dict[str, Any]
    length: int


@dataclass
class PushService:
    """The service. Made by `with PushService() as service`.

    Attributes:
        got: what came, in order.
        answers: a status for a path; 201 where none is named.
        on_request: called before it answers.
    """

    got: list[Pushed] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)
    on_request: Callable[[], None] = lambda: None
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        outer = self

        class Answering(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status = outer.answers.get(self.path, 201)
                if status == 201:
                    outer.got.append(outer._read(self.path, headers, body))
                outer.on_request()
                self.send_response(status)
                self.send_header("Content-Length", "0")
                if status == 302:
                    self.send_header("Location", f"{outer.origin}/elsewhere")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing is printed."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> PushService:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def origin(self) -> str:
        """Of this service."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def subscription(self, path: str = "/one") -> dict[str, str]:
        """What a browser tells the page."""
        return {"endpoint": self.origin + path, "key": b64(point(self.key)), "auth": b64(AUTH)}

    def told_of(self, name: str) -> list[Pushed]:
        """What came about the spawn of this name."""
        return [each for each in self.got if each.told["title"].startswith(f"{name} on ")]

    def wait_for(self, name: str, within: float = 30.0) -> Pushed:
        """The first word about a spawn."""
        wait_until(lambda: bool(self.told_of(name)), within, f"word of {name}; there is {self.got}")
        return self.told_of(name)[0]

    # as a service checks, and a browser reads

    def _read(self, path: str, headers: dict[str, str], body: bytes) -> Pushed:
        return Pushed(path, headers, json.loads(opened(body, self.key, AUTH)), self._claims(headers), len(body))

    def _claims(self, headers: dict[str, str]) -> dict[str, Any]:
        scheme, _, rest = headers["authorization"].partition(" ")
        parts = dict(each.strip().split("=", 1) for each in rest.split(","))
        said, _, signature = parts["t"].rpartition(".")
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), unb64(parts["k"]))
        raw = unb64(signature)
        signed = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        key.verify(signed, said.encode(), ec.ECDSA(hashes.SHA256()))
        head, claims = (json.loads(unb64(part)) for part in said.split("."))
        assert (scheme, head["alg"]) == ("vapid", "ES256")
        assert claims["aud"] == self.origin and time.time() < claims["exp"] <= time.time() + 86_400
        found: dict[str, Any] = claims | {"key": parts["k"]}
        return found


def opened(body: bytes, key: ec.EllipticCurvePrivateKey, auth: bytes) -> bytes:
    """What a message of one record says (RFC 8188, RFC 8291)."""
    salt, (size, length) = body[:16], struct.unpack("!IB", body[16:21])
    shown, sealed = body[21 : 21 + length], body[21 + length :]
    assert len(sealed) <= size
    other = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), shown)
    made = key.exchange(ec.ECDH(), other)
    secret = HKDF(hashes.SHA256(), 32, auth, b"WebPush: info\0" + point(key) + shown).derive(made)
    wrap = HKDF(hashes.SHA256(), 16, salt, b"Content-Encoding: aes128gcm\0").derive(secret)
    nonce = HKDF(hashes.SHA256(), 12, salt, b"Content-Encoding: nonce\0").derive(secret)
    text = AESGCM(wrap).decrypt(nonce, sealed, None).rstrip(b"\0")
    assert text.endswith(b"\2")
    return text[:-1]

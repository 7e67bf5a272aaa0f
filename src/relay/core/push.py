"""Web Push: where a browser's maker takes messages for it, and the address of one browser as a channel keeps it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass

SERVICE = "webpush"
HOSTS = (
    "fcm.googleapis.com",
    "updates.push.services.mozilla.com",
    "*.push.services.mozilla.com",
    "*.push.apple.com",
    "*.notify.windows.com",
)
"""The services of Chrome, Firefox, Safari and Edge."""
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
# no user, no backslash, no letter of another script: what reads it next has to find the same host in it
_ADDRESS = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[::1\])(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?:[/?][\x21-\x7e]*)?\Z"
)
MAX_ENDPOINT = 1_536
MAX_ORIGIN = 300
KEY_BYTES, AUTH_BYTES = 65, 16


@dataclass(frozen=True, slots=True)
class Subscription:
    """One browser, as its maker's service knows it. It is not shown where this is printed.

    Attributes:
        endpoint: where messages for it are posted.
        key: its public key, a point of P-256, 65 bytes.
        auth: 16 bytes that it shares with who may tell it something.
    """

    endpoint: str
    key: bytes
    auth: bytes

    def __repr__(self) -> str:
        return "Subscription()"

    @property
    def address(self) -> str:
        """As a channel keeps it."""
        return f"{SERVICE}://{self.endpoint}#{text_of(self.key)}.{text_of(self.auth)}"


def text_of(data: bytes) -> str:
    """Bytes in base64url, without its padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def bytes_of(text: object, length: int) -> bytes | None:
    """The bytes that such a text stands for; None where it is none, or of another length."""
    if type(text) is not str or len(text) > 2 * length or not text.isascii():
        return None
    try:
        data = base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
    return data if len(data) == length else None


def subscription_of(endpoint: object, key: object, auth: object) -> Subscription | None:
    """What a browser says of itself; None where it has another form."""
    point, secret = bytes_of(key, KEY_BYTES), bytes_of(auth, AUTH_BYTES)
    if type(endpoint) is not str or not 0 < len(endpoint) <= MAX_ENDPOINT or point is None or secret is None:
        return None
    fits = endpoint.isascii() and endpoint.isprintable() and "#" not in endpoint and " " not in endpoint
    is_one = fits and origin_of(endpoint) is not None and point[0] == 4
    return Subscription(endpoint, point, secret) if is_one else None


def from_address(address: str) -> Subscription | None:
    """The browser that a channel's address means."""
    endpoint, _, secrets = address.removeprefix(f"{SERVICE}://").rpartition("#")
    key, _, auth = secrets.partition(".")
    return subscription_of(endpoint, key, auth)


def origin_of(address: str) -> str | None:
    """`https://HOST[:PORT]` of an address, or `http://` on this machine alone; None where it is neither."""
    found = _ADDRESS.match(address)
    if found is None or (found["scheme"] == "http" and found["host"] not in LOOPBACK):
        return None
    usual = {"https": "443", "http": "80"}[found["scheme"]]
    port = "" if found["port"] in (None, usual) else f":{found['port']}"
    return f"{found['scheme']}://{found['host']}{port}"


def is_origin(text: object) -> bool:
    """Whether this is `https://HOST[:PORT]`, or `http://` on this machine, and nothing more."""
    return type(text) is str and len(text) <= MAX_ORIGIN and origin_of(text) == text


def is_allowed(endpoint: str, further: Iterable[str]) -> bool:
    """Whether messages may be posted there.

    Args:
        endpoint: as a browser named it.
        further: origins beside those of the known services.
    """
    origin = origin_of(endpoint)
    if origin is None:
        return False
    host = origin.removeprefix("https://")
    return origin in further or any(_fits(host, each) for each in HOSTS)


def _fits(host: str, pattern: str) -> bool:
    if not pattern.startswith("*."):
        return host == pattern
    return host.endswith(pattern[1:]) and len(host) > len(pattern[1:])

"""The headers that every answer carries."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Message, Send

SECURE = "https://"
FRAME = "/terminal"
"""The one document that a page may have in a frame (`frame`)."""
ALWAYS: tuple[tuple[str, str], ...] = (
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    (
        "permissions-policy",
        ", ".join(
            f"{feature}=()"
            for feature in "camera display-capture geolocation hid microphone midi payment serial usb".split()
        ),
    ),
)


def policy(origin: str) -> str:
    """The content security policy of a page of this origin.

    Args:
        origin: `http://HOST:PORT`, or the public `https://HOST`.
    """
    scheme = "wss" if origin.startswith(SECURE) else "ws"
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"connect-src 'self' {scheme}://{origin.partition('://')[2]}; manifest-src 'self'; worker-src 'self'; "
        f"frame-src {origin}{FRAME}; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types relay-worker"
    )


WORKER, WORKERS = "/sw.js", "default-src 'none'; connect-src 'self'; require-trusted-types-for 'script'"
"""The page's worker, and its policy: it fetches files of the page and shows what is told, and that is all."""
NOTHING = "default-src 'none'; frame-ancestors 'none'"
"""The policy of an answer to who asked for another host: there is no page of ours there."""


def armoured(send: Send, security: str) -> Send:
    """What is sent, with the policy, and with `no-store` where nothing else was said. uvicorn adds the rest to all."""

    async def sending(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start", "websocket.accept"):
            headers = [*message.get("headers", ()), (b"content-security-policy", security.encode())]
            if not any(name == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"no-store"))
            await send({**message, "headers": headers})
        else:
            await send(message)

    return sending

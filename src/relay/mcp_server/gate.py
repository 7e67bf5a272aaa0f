"""Streamable HTTP on loopback: who has not the token, or comes from a page of another origin, reaches no tool."""

from __future__ import annotations

import hmac
import socket
from typing import TYPE_CHECKING, Any

import uvicorn
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from relay.api.bounded_http import BoundedHttp

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server
    from starlette.types import ASGIApp, Receive, Scope, Send

PATH = "/mcp"
MAX_BODY = 4 << 20
MAX_SESSIONS = 1_024  # of a client that went without a word the session lasts half an hour
STOP_S = 2
BACKLOG = 128  # so many are accepted before the first is looked at: a file each
Refusal = tuple[int, str]


class Gate:
    """Lets requests in to the protocol: of our own path, for our own host, from no foreign page, with the token.

    Args:
        inner: what serves them.
        token: the secret.
        port: where it listens.
    """

    def __init__(self, inner: ASGIApp, token: str, port: int) -> None:
        self._inner = inner
        self._token = token.encode()
        # by its name the resolver of a page's owner may lead here: only our own names are ours
        self._hosts = {f"{host}:{port}".encode() for host in ("127.0.0.1", "localhost")}
        self._origins = {b"http://" + host for host in self._hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it unread."""
        refusal = self._refusal(scope)
        if refusal is None:
            await self._inner(scope, receive, send)
            return
        status, said = refusal
        headers = [(b"content-type", b"text/plain"), (b"connection", b"close")]
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": f"{said}\n".encode()})

    def _refusal(self, scope: Scope) -> Refusal | None:
        given: dict[bytes, list[bytes]] = {b"host": [], b"origin": [], b"authorization": []}
        for name, value in scope["headers"]:
            if name in given:
                given[name].append(value)
        if len(given[b"host"]) != 1 or given[b"host"][0] not in self._hosts:
            return 421, "this host is not served here"
        if any(each not in self._origins for each in given[b"origin"]):
            return 403, "this origin is not let in"
        if len(given[b"authorization"]) != 1 or not self._fits(given[b"authorization"][0]):
            return 401, "bring the token that relay mcp --http told of: Authorization: Bearer TOKEN"
        return None if scope["path"] == PATH else (404, f"there is only {PATH}")

    def _fits(self, given: bytes) -> bool:
        scheme, _, token = given.partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(token.strip(), self._token)


async def serve_http(server: Server[Any], listening: socket.socket, token: str) -> None:
    """Serve many clients at a time, until a signal ends it.

    Args:
        server: of the tools.
        listening: the socket, on loopback.
        token: what each request has to bring.
    """
    manager = StreamableHTTPSessionManager(server, max_request_body_size=MAX_BODY, max_sessions=MAX_SESSIONS)
    config = uvicorn.Config(
        Gate(manager.handle_request, token, listening.getsockname()[1]),
        http=BoundedHttp,
        ws="none",
        lifespan="off",
        access_log=False,
        proxy_headers=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=STOP_S,
        backlog=BACKLOG,
    )
    async with manager.run():
        await uvicorn.Server(config).serve(sockets=[listening])

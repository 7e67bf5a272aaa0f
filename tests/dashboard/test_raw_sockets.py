"""A stranger at the port with bytes of their own: it answers, or hangs up; it keeps little, and says nothing of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import psutil
import pytest

from relay.api.bounded_http import BoundedHttp
from relay.broker.control.embedding import Embedded
from relay.dashboard import protocols
from relay.dashboard.listener import bind
from relay.testing.processes import wait_until
from tests.dashboard.browser import Browser
from tests.dashboard.raw import BINARY, CLOSE, CONT, PING, TEXT, Raw, frame, head, raw, upgrade

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

CHUNKED = "Transfer-Encoding: chunked"
POST = "POST /session HTTP/1.1"
KEY = b"Sec-WebSocket-Key"
REQUESTS: dict[str, Callable[[Browser], bytes]] = {
    "noise": lambda at: os.urandom(300),
    "TLS": lambda at: b"\x16\x03\x01\x02\x00\x01\x00" + os.urandom(100),
    "HTTP/2": lambda at: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "CONNECT": lambda at: b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a path that is no text": lambda at: head(at, "GET /\xff HTTP/1.1"),
    "two lengths": lambda at: head(at, POST, "Content-Length: 3", "Content-Length: 4") + b"abcd",
    "length and pieces": lambda at: head(at, POST, "Content-Length: 3", CHUNKED) + b"0\r\n\r\n",
    "a length below nothing": lambda at: head(at, POST, "Content-Length: -1"),
    "a piece that is none": lambda at: head(at, POST, CHUNKED) + b"zz\r\nab\r\n",
    "a body that is cut off": lambda at: head(at, POST, "Content-Length: 30") + b"{",
    "a folded header": lambda at: head(at, "GET / HTTP/1.1", "X: a\r\n b"),
    "a zero in a header": lambda at: head(at, "GET / HTTP/1.1", "X: \x00"),
    "another upgrade": lambda at: head(at, "GET / HTTP/1.1", "Upgrade: h2c", "Connection: Upgrade"),
    "a socket by POST": lambda at: upgrade(at, method="POST"),
    "a socket without a key": lambda at: upgrade(at).replace(KEY, b"X-Key"),
    "a socket with two keys": lambda at: upgrade(at, "/events", "Sec-WebSocket-Key: x"),
    "a socket of another version": lambda at: upgrade(at).replace(b"Version: 13", b"Version: 12"),
    "a socket with a body": lambda at: upgrade(at, "/events", "Content-Length: 5") + b"hello",
    "a socket with pieces": lambda at: upgrade(at, "/events", CHUNKED) + b"0\r\n\r\n",
    "a socket with many headers": lambda at: upgrade(at, "/events", *(f"X-{n}: y" for n in range(400))),
    "a socket of nothing": lambda at: upgrade(at, "/nothing"),
    "a socket of another page": lambda at: upgrade(at).replace(b"Origin: http://", b"Origin: http://not."),
    "a socket of no text": lambda at: upgrade(at, "/api/v1/spawns/\xff/attach"),
}
FRAMES = {
    "no text": frame(TEXT, b"\xff\xfe"),
    "no text, in parts": frame(TEXT, b"\xe2", fin=False) + frame(CONT, b"\x28\xa1"),
    "bytes": frame(BINARY, b"{}"),
    "not masked": frame(TEXT, b"{}", masked=False),
    "reserved bits": frame(TEXT, b"{}", reserved=4),
    "an unknown kind": frame(3, b"x"),
    "a ping that is long": frame(PING, b"x" * 126),
    "a ping in parts": frame(PING, b"x", fin=False),
    "a part of nothing": frame(CONT, b"x"),
    "a text in a text": frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"),
    "half a code": frame(CLOSE, b"x"),
    "a code that is none": frame(CLOSE, b"\x03\xed"),
    "too long": frame(TEXT, b"x" * 5_000),
    "too long to count": b"\x81\xff" + b"\xff" * 8 + b"abcd",
    "deep": frame(TEXT, b"[" * 4_000),
    "half a letter": frame(TEXT, b'{"token": "\\ud800"}'),
    "a long number": frame(TEXT, b'{"token":' + b"9" * 4_000 + b"}"),
}


@pytest.mark.parametrize("what", REQUESTS)
def test_what_is_no_request_is_answered_or_ended_and_is_no_news(browser: Browser, what: str) -> None:
    before = len(browser.node.log())
    with raw(browser) as stranger:
        stranger.say(REQUESTS[what](browser))
        stranger.patience(8.0)
        if what == "a body that is cut off":
            stranger.close()
        else:
            assert stranger.hear()[:9] in (b"HTTP/1.1 ", b"")
    assert browser.ask("GET", "/").status == 200
    said = browser.node.log()[before:]
    assert not [word for word in ("WARNING", "ERROR", "Traceback") if word in said], said


@pytest.mark.parametrize("what", FRAMES)
def test_frames_of_every_odd_sort_end_the_socket_and_are_no_news(browser: Browser, what: str) -> None:
    before = len(browser.node.log())
    with raw(browser) as stranger:
        stranger.say(upgrade(browser))
        assert b" 101 " in stranger.hear()
        stranger.say(FRAMES[what])
        assert stranger.hear()[:1] == b"\x88"  # a close
    assert "Traceback" not in (said := browser.node.log()[before:]), said


def _memory(browser: Browser) -> int:
    """What the broker has to itself, in MiB."""
    process = browser.node.process
    assert process is not None
    return int(psutil.Process(process.pid).memory_full_info().uss) >> 20


def test_what_is_sent_without_end_is_not_taken_and_not_kept(browser: Browser) -> None:
    begun = head(browser, POST, CHUNKED) + b"0\r\nX: "
    floods = {
        "requests ahead of their answers": (b"", head(browser) * 500),
        "a header after the body": (begun, b"y" * 65_536),
        "headers after the body": (begun, b"y\r\n" + b"Z: y\r\n" * 8_000),
        "pieces of one byte": (head(browser, POST, CHUNKED), b"1\r\nx\r\n" * 8_000),
        "what stands beside a piece": (head(browser, POST, CHUNKED) + b"1;", b"x" * 65_536),
        "pings whose answers are not read": (upgrade(browser), frame(PING, b"x" * 125) * 500),
    }
    before = _memory(browser)
    for what, (first, more) in floods.items():
        with raw(browser) as stranger:
            stranger.say(first)
            assert not stranger.takes(more, 1 << 30), what
    assert _memory(browser) - before < 15


def test_more_connections_than_are_answered_are_not_kept(browser: Browser) -> None:
    process = browser.node.process
    assert process is not None
    before = psutil.Process(process.pid).num_fds()
    with contextlib.ExitStack() as stack:
        for _ in range(600):
            stack.callback(Raw(browser.port).close)
        most = before + protocols.MOST_OPEN + 8
        wait_until(lambda: psutil.Process(process.pid).num_fds() <= most, 20, "the rest to go")
    wait_until(lambda: _answers(browser), 20, "it to answer again")


def _answers(browser: Browser) -> bool:
    try:
        return browser.ask("GET", "/").status == 200
    except OSError:
        return False


class _Soon(BoundedHttp):
    rest_s = 0.2


async def _early(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers before it has read anything."""
    await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def test_the_rest_of_a_request_that_is_answered_is_not_waited_for() -> None:
    listening = bind((0,))
    server = Embedded(_early, listening, **(protocols.SETTINGS | {"http": _Soon}))
    await server.start()
    with contextlib.closing(socket.create_connection(listening.getsockname())) as trickling:
        trickling.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(trickling, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        assert (await loop.sock_recv(trickling, 100)).startswith(b"HTTP/1.1 404 ")
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionError):
                while not await _ended(trickling):
                    await loop.sock_sendall(trickling, b"x")
    await server.close()


async def _ended(connection: socket.socket) -> bool:
    try:
        async with asyncio.timeout(0.02):
            return await asyncio.get_running_loop().sock_recv(connection, 100) == b""
    except TimeoutError:
        return False


async def test_a_request_that_is_whole_keeps_its_connection() -> None:
    listening = bind((0,))
    server = Embedded(_early, listening, **(protocols.SETTINGS | {"http": _Soon}))
    await server.start()
    with contextlib.closing(socket.create_connection(listening.getsockname())) as kept:
        kept.setblocking(False)
        loop = asyncio.get_running_loop()
        for _ in range(3):
            await loop.sock_sendall(kept, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
            assert (await loop.sock_recv(kept, 1000)).startswith(b"HTTP/1.1 404 ")
            assert not await _ended(kept)
            await asyncio.sleep(0.15)
    await server.close()

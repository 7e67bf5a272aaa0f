"""A task's terminal by WebSocket: what a browser types goes in, and what the task writes comes out."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import websockets

from relay.dashboard.sockets import BAD_REQUEST, DONE, NO_SCOPE, NO_TOKEN
from tests.dashboard.browser import WITHIN, Browser, Socket

SOURCE = base64.b64encode(bytes(range(16))).decode()
ASK = {"source": SOURCE, "drive": True, "again": False, "who": "test"}
ECHO = "print('ready', flush=True); print('got', input(), flush=True)"


@contextlib.asynccontextmanager
async def _attached(browser: Browser, ref: str, **first: Any) -> AsyncIterator[Socket]:
    uri = f"ws://127.0.0.1:{browser.port}/api/v1/spawns/{ref}/attach"
    async with websockets.connect(uri, origin=browser.origin, proxy=None, open_timeout=WITHIN) as opened:  # type: ignore[arg-type]
        await opened.send(json.dumps({"token": browser.token, **first}))
        yield Socket(opened)


def _asking(browser: Browser) -> str:
    with browser.node.control() as opened:
        return str(opened.spawn(sys.executable, "-c", ECHO, cwd=str(browser.node.work), stdin=True)["id"])


async def test_what_is_typed_goes_in_and_what_is_written_comes_out(browser: Browser) -> None:
    spawn = await asyncio.to_thread(_asking, browser)
    async with _attached(browser, spawn, **ASK) as terminal:
        assert (hello := await terminal.next()).get("k") == "hello", hello
        written = b""
        while b"got hello" not in written:
            message = await terminal.next()
            written += base64.b64decode(message.get("data", ""))
            if written.endswith(b"ready\n"):
                await terminal.say({"k": "in", "n": 1, "data": base64.b64encode(b"hello\n").decode()})
        assert await terminal.closing() == DONE
    entries = await asyncio.to_thread(browser.get, "audit?limit=20")
    assert f"WS attach {spawn}" in [each["detail"] for each in entries]


async def _recalled(browser: Browser, spawn: str, until: bytes) -> bytes:
    """What one who comes now is shown of what was there before."""
    written = b""
    async with _attached(browser, spawn, **ASK | {"drive": False}) as terminal:
        while until not in written:
            written += base64.b64decode((await terminal.next()).get("data", ""))
    return written


async def test_what_a_task_asked_its_terminal_is_not_asked_again_of_who_comes_much_later(browser: Browser) -> None:
    def asking() -> str:
        words = ("/bin/sh", "-c", "printf '\\033[31m\\033[6n\\033[casked'; exec cat")
        with browser.node.control() as opened:
            return str(opened.spawn(*words, cwd=str(browser.node.work), tty=True)["id"])

    spawn = await asyncio.to_thread(asking)
    for _ in range(60):
        if b"\x1b[6n" not in await _recalled(browser, spawn, b"asked"):
            break
        await asyncio.sleep(0.5)  # its answer may still be awaited
    assert await _recalled(browser, spawn, b"asked") == b"\x1b[31masked"
    await asyncio.to_thread(browser.post, f"spawns/{spawn}/stop", spawn)


async def test_it_needs_the_scope_and_ends_with_the_device(browser: Browser) -> None:
    spawn = await asyncio.to_thread(_asking, browser)
    viewer = await asyncio.to_thread(Browser.of, browser.node, "view")
    async with _attached(viewer, spawn, **ASK) as terminal:
        assert await terminal.closing() == NO_SCOPE
    leaving = await asyncio.to_thread(Browser.of, browser.node, "terminal")
    async with _attached(leaving, spawn, **ASK) as terminal:
        assert (hello := await terminal.next()).get("k") == "hello", hello
        await asyncio.to_thread(browser.post, f"dashboard/devices/{leaving.device['id']}/revoke")
        assert await terminal.closing() == NO_TOKEN
    await asyncio.to_thread(browser.post, f"spawns/{spawn}/stop", spawn)


async def test_what_cannot_be_attached_to_is_told_as_by_the_api(browser: Browser) -> None:
    async with _attached(browser, "nobody", **ASK) as terminal:
        assert (await terminal.next())["error"]["code"] == "unknown_spawn"
        assert await terminal.closing() == DONE
    async with _attached(browser, "nobody", source="no base64!") as terminal:
        assert "error" in await terminal.next()
    spawn = await asyncio.to_thread(_asking, browser)
    async with _attached(browser, spawn, **ASK) as terminal:
        await terminal.next()
        await terminal.say([])
        assert await terminal.closing() == BAD_REQUEST
    await asyncio.to_thread(browser.post, f"spawns/{spawn}/stop", spawn)

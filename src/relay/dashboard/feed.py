"""`WS /events`: what happens, as it happens, to a device that shows its token in its first message."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Coroutine
from typing import TYPE_CHECKING, Any

from relay.broker.control.application import event_document
from relay.broker.devices import shown
from relay.broker.words import rfc3339
from relay.core.scopes import VIEW
from relay.store import events

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Send

    from relay.broker.broker import Broker
    from relay.store.devices import Device

FIRST_S, BEAT_S = 5.0, 15.0
MOST, MOST_UNKNOWN = 64, 16
MAX_MESSAGE = 4096
BAD_REQUEST, NO_TOKEN, NO_SCOPE, TOO_LATE, TOO_MANY, GOING = 4400, 4401, 4403, 4408, 1013, 1012
"""Why a socket is closed. 1012 and 1013 are everybody's: the service restarts, and: try again later."""


class _Over(Exception):
    """The socket is to be closed."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Feed:
    """Serves the sockets of one broker.

    Args:
        broker: whose events.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._open = 0
        self._unknown = 0

    async def serve(self, receive: Receive, send: Send) -> None:
        """One socket, from its beginning to its end; its origin is ours."""
        await receive()
        await send({"type": "websocket.accept"})
        if self._open >= MOST or self._unknown >= MOST_UNKNOWN:
            await _close(send, TOO_MANY, "there are too many sockets")
            return
        self._open += 1
        try:
            await self._talk(receive, send)
        except _Over as over:
            await _close(send, over.code, over.reason)
        finally:
            self._open -= 1

    async def _talk(self, receive: Receive, send: Send) -> None:
        self._unknown += 1
        try:
            device, since = self._known(await _first(receive))
        finally:
            self._unknown -= 1
        await self._broker.dashboard.devices.note_use(device)
        with self._broker.dashboard.devices.watching(device) as gone:
            await _first_of(
                self._tell(device, since, send), _beats(send), _revoked(gone), _left(receive)
            )

    def _known(self, document: dict[str, Any]) -> tuple[Device, int | None]:
        token, since = document.get("token"), document.get("since")
        device = self._broker.dashboard.devices.of_token(token) if isinstance(token, str) else None
        if device is None:
            raise _Over(NO_TOKEN, "no token, or one that was revoked")
        if VIEW not in device.scopes:
            raise _Over(NO_SCOPE, f"it needs the scope {VIEW}")
        if since is not None and not (type(since) is int and 0 <= since < 2**53):
            raise _Over(BAD_REQUEST, "since is a number, or null")
        return device, since

    async def _tell(self, device: Device, since: int | None, send: Send) -> None:
        newest = await self._broker.store.one(events.HIGHEST) or 0
        broker = self._broker
        hello = {
            "kind": "hello",
            "seq": newest,
            "broker": broker.members.label(broker.members.own),
            "version": broker.facts.version,
            "device": shown(device),
        }
        await _say(send, hello)
        if since is not None and since > newest:
            # the numbers of another store: what it has seen is not what happened here
            await _say(send, {"kind": "reset", "seq": newest})
            since = None
        async for document in self._documents(newest if since is None else since):
            await _say(send, document)
        raise _Over(GOING, "the broker stops")

    async def _documents(self, since: int) -> AsyncIterator[dict[str, Any]]:
        async for event in self._broker.hub.stream(since, True):
            yield event_document(event)


async def _first(receive: Receive) -> dict[str, Any]:
    try:
        async with asyncio.timeout(FIRST_S):
            message = await receive()
    except TimeoutError:
        raise _Over(TOO_LATE, f"nothing was said within {FIRST_S:g} seconds") from None
    if message["type"] == "websocket.disconnect":
        raise _Over(GOING)
    try:
        document = json.loads(message.get("text") or "")
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise _Over(BAD_REQUEST, "the first message is a JSON object")
    return document


async def _say(send: Send, document: dict[str, Any]) -> None:
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace").decode()
    await send({"type": "websocket.send", "text": text})


async def _beats(send: Send) -> None:
    while True:
        await asyncio.sleep(BEAT_S)
        await _say(send, {"kind": "beat", "at": rfc3339(time.time_ns() // 1_000_000)})


async def _revoked(gone: asyncio.Event) -> None:
    await gone.wait()
    raise _Over(NO_TOKEN, "this device was revoked")


async def _left(receive: Receive) -> None:
    """Until the other side leaves; what it says beside that means nothing."""
    message: Message = {"type": ""}
    while message["type"] != "websocket.disconnect":
        message = await receive()


async def _first_of(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run these until one of them ends, and end with it."""
    tasks = [asyncio.ensure_future(each) for each in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _close(send: Send, code: int, reason: str) -> None:
    try:
        await send({"type": "websocket.close", "code": code, "reason": reason})
    except (OSError, RuntimeError):
        return  # it was closed by the other side

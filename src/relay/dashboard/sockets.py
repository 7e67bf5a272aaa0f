"""What all sockets have in common: a first message with a token, a bound on their number, an end with a reason."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Send

    from relay.broker.devices import Devices
    from relay.store.devices import Device

FIRST_S = 5.0
MOST, MOST_UNKNOWN = 64, 16
MOST_UNKNOWN_OF_OTHERS = 8
"""Where more say nothing, none of another user of this machine is listened to: the rest is for its own."""
MAX_MESSAGE = 4096
BAD_REQUEST, NO_TOKEN, NO_SCOPE, TOO_LATE, TOO_MANY, GOING, DONE = 4400, 4401, 4403, 4408, 1013, 1012, 1000
"""Why a socket is closed. 1012 and 1013 are everybody's: the service restarts, and: try again later."""
Document = dict[str, Any]
Talk = Callable[["Device", Document], Coroutine[Any, Any, None]]
"""What is said to a device, given its first message."""


class Over(Exception):
    """The socket is to be closed.

    Args:
        code: why, for programs.
        reason: the same for people.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Sockets:
    """Lets devices talk.

    Args:
        devices: who may.
    """

    def __init__(self, devices: Devices) -> None:
        self._devices = devices
        self._open = 0
        self._unknown = 0

    async def serve(
        self, scope: str, receive: Receive, send: Send, talk: Talk, is_another_s: Callable[[], bool]
    ) -> None:
        """One socket, from its beginning to its end; its origin is ours.

        Args:
            scope: what its device needs.
            receive, send: of ASGI.
            talk: what is done with it; it raises `Over` to end with a reason.
            is_another_s: whether it is of another user of this machine.
        """
        await receive()
        await send({"type": "websocket.accept"})
        if self._open >= MOST or not self._may_wait(is_another_s):
            await _close(send, Over(TOO_MANY, "there are too many sockets"))
            return
        self._open += 1
        try:
            await self._let_in(scope, receive, talk)
            raise Over(DONE)
        except Over as over:
            await _close(send, over)
        finally:
            self._open -= 1

    def _may_wait(self, is_another_s: Callable[[], bool]) -> bool:
        if self._unknown < MOST_UNKNOWN_OF_OTHERS:
            return True
        return self._unknown < MOST_UNKNOWN and not is_another_s()

    async def _let_in(self, scope: str, receive: Receive, talk: Talk) -> None:
        self._unknown += 1
        try:
            first = await _first(receive)
        finally:
            self._unknown -= 1
        token = first.pop("token", None)
        device = self._devices.of_token(token) if isinstance(token, str) else None
        if device is None:
            raise Over(NO_TOKEN, "no token, or one that was revoked")
        if scope not in device.scopes:
            raise Over(NO_SCOPE, f"it needs the scope {scope}")
        await self._devices.note_use(device)
        with self._devices.watching(device) as gone:
            await first_of(talk(device, first), _revoked(gone))


async def _first(receive: Receive) -> Document:
    try:
        async with asyncio.timeout(FIRST_S):
            return read(await receive())
    except TimeoutError:
        raise Over(TOO_LATE, f"nothing was said within {FIRST_S:g} seconds") from None


def read(message: Message) -> Document:
    """What a device says.

    Raises:
        Over: it has left, or that is no JSON object.
    """
    if message["type"] == "websocket.disconnect":
        raise Over(GOING)
    try:
        document = json.loads(message.get("text") or "")
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise Over(BAD_REQUEST, "a message is a JSON object")
    return document


async def say(send: Send, document: Document) -> None:
    """Say something to a device."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace").decode()
    await send({"type": "websocket.send", "text": text})


async def _revoked(gone: asyncio.Event) -> None:
    await gone.wait()
    raise Over(NO_TOKEN, "this device was revoked")


async def first_of(*coroutines: Coroutine[Any, Any, None]) -> None:
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


async def _close(send: Send, over: Over) -> None:
    try:
        await send({"type": "websocket.close", "code": over.code, "reason": over.reason})
    except (OSError, RuntimeError):
        return  # it was closed by the other side

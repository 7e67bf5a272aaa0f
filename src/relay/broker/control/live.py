"""The routes that speak both ways at once: the request's body goes on while the answer's does.

    POST spawns/{ref}/attach          lines of JSON both ways; the first is what is asked
    POST spawns/{ref}/forward?port=   pieces of bytes both ways, each with its length (u32, big-endian); an empty one is
                                      the end of that direction, and a body that ends without it was broken off; with
                                      look=1 no connection is made, and the answer ends at once
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route

from relay.api.duplex import LENGTH
from relay.broker.channel import Conversation, Message
from relay.broker.control.answers import OTHER_VERSION, line
from relay.core.errors import Misuse, RelayError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from relay.broker.broker import Broker

MAX_LINE = 1 << 20
PACKED = ("source", "data")
"""What is bytes, and in JSON base64."""
NDJSON = b"application/x-ndjson"
BYTES = b"application/octet-stream"
Endpoint = Callable[[Request, "Send"], Awaitable[None]]


class Both:
    """An endpoint that reads and answers at once, as an ASGI application."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._endpoint(Request(scope, receive, send), send)


class LiveControl:
    """The endpoints over one broker's tasks.

    Args:
        broker: whose.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    @property
    def routes(self) -> list[Route]:
        """All of them."""
        endpoints: dict[str, Endpoint] = {"attach": self.attach, "forward": self.forward}
        return [
            Route(f"/api/v1/spawns/{{ref}}/{name}", Both(endpoint), methods=["POST"])
            for name, endpoint in endpoints.items()
        ]

    async def attach(self, request: Request, send: Send) -> None:
        """`relay attach`."""
        lines = lines_of(request)
        ask = _message(await anext(lines, b"{}"))
        elsewhere, ref = self._broker.queueing.elsewhere, request.path_params["ref"]
        row = await (elsewhere.find_again(ref) if ask.get("again") is True else elsewhere.find(ref))
        conversation = await self._broker.live.attach(row, ask)
        await _carry(conversation, _said(lines), send, NDJSON, _as_line)

    async def forward(self, request: Request, send: Send) -> None:
        """`relay forward`: one connection."""
        row = await self._broker.queueing.elsewhere.find(request.path_params["ref"])
        port = request.query_params.get("port", "")
        if not port.isdigit() or not 0 < int(port) < 65536:
            raise Misuse("which port?", why="a port lies between 1 and 65535", hint="relay forward ID PORT")
        look = request.query_params.get("look") == "1"
        conversation = await self._broker.live.forward(row, int(port), look)
        await _carry(conversation, _pieces(request), send, BYTES, _as_bytes)


async def _carry(
    conversation: Conversation,
    said: AsyncIterator[Message],
    send: Send,
    media_type: bytes,
    form: Callable[[Message], bytes],
) -> None:
    """Carry both directions until the task's side has ended. An early error is an answer of its own."""
    speaking: asyncio.Task[None] | None = None
    try:
        message = await conversation.receive()
        await begin(send, media_type)
        speaking = asyncio.get_running_loop().create_task(_speak(conversation, said))
        while message is not None:
            await more(send, form(message))
            message = await conversation.receive()
        await more(send, b"", last=True)
    except RelayError as error:
        if speaking is None:
            raise
        await more(send, line({"error": error.to_json()}) if media_type == NDJSON else b"", last=True)
    finally:
        conversation.close()
        if speaking is not None:
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)


async def begin(send: Send, media_type: bytes) -> None:
    """Begin an answer that goes on."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", media_type)]})


async def more(send: Send, data: bytes, last: bool = False) -> None:
    """Go on with it, or end it."""
    if data or last:
        await send({"type": "http.response.body", "body": data, "more_body": not last})


async def _speak(conversation: Conversation, said: AsyncIterator[Message]) -> None:
    try:
        async for message in said:
            await conversation.send(message)
    except (ClientDisconnect, RelayError):
        return
    finally:
        # the client has left, or says nothing more: nobody is there to be shown anything
        conversation.close()


# the forms


async def lines_of(request: Request, most: int = MAX_LINE) -> AsyncIterator[bytes]:
    """The lines of a request's body as they come, each of at most so many bytes.

    Raises:
        Misuse: one is longer.
    """
    rest: list[bytes] = []  # joined once: a line of 16 MiB comes in hundreds of pieces
    size = 0
    async for piece in request.stream():
        *lines, last = piece.split(b"\n")
        for each in lines:
            yield b"".join((*rest, each))
            rest, size = [], 0
        rest.append(last)
        size += len(last)
        if size > most:
            raise Misuse("a line of the request is too long", hint=OTHER_VERSION)


async def _said(lines: AsyncIterator[bytes]) -> AsyncIterator[Message]:
    async for each in lines:
        yield _message(each)


def _message(text: bytes) -> Message:
    try:
        message: Any = json.loads(text)
    except (ValueError, RecursionError):
        message = None
    return unpacked(message)


def unpacked(document: Any) -> Message:
    """What a client says in JSON, as a conversation carries it.

    Raises:
        Misuse: it is no object, or what should be base64 is none.
    """
    try:
        if isinstance(document, dict):
            data = {key: base64.b64decode(document[key], validate=True) for key in PACKED if key in document}
            return document | data
    except (ValueError, TypeError, binascii.Error):
        pass
    raise Misuse("the request is no JSON object", hint=OTHER_VERSION)


def packed(message: Message) -> dict[str, Any]:
    """What a conversation carries, as a client sees it in JSON."""
    data = message.get("data")
    return message if data is None else message | {"data": base64.b64encode(data).decode("ascii")}


def _as_line(message: Message) -> bytes:
    return line(packed(message))


async def _pieces(request: Request) -> AsyncIterator[Message]:
    buffer = bytearray()
    async for piece in request.stream():
        buffer += piece
        while len(buffer) >= LENGTH.size and len(buffer) >= (end := LENGTH.size + LENGTH.unpack_from(buffer)[0]):
            data = bytes(buffer[LENGTH.size : end])
            del buffer[:end]
            yield {"k": "data", "data": data} if data else {"k": "eof"}
        if len(buffer) > MAX_LINE:
            raise Misuse("a piece of the request is too long", hint=OTHER_VERSION)


def _as_bytes(message: Message) -> bytes:
    if message.get("k") == "open":
        return b""
    data = bytes(message.get("data", b""))
    return LENGTH.pack(len(data)) + data

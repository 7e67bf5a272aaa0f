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
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route

from relay.api.duplex import LENGTH
from relay.broker.carrier import Ends
from relay.broker.channel import Conversation, Message
from relay.broker.control.answers import OTHER_VERSION, line
from relay.broker.control.straight import STRAIGHT, Straight
from relay.broker.direct_way import reached_at
from relay.core.attach_words import in_form
from relay.core.errors import Misuse, PeerFault, RelayError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from relay.broker.broker import Broker

MAX_LINE = 1 << 20
PACKED = ("source", "data")
"""What is bytes, and in JSON base64."""
DIRECT, PAST_BROKERS = "direct", "past_brokers"
"""What is asked of the task's machine, by a broker that passes the offer on; what a client asks of its broker."""
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
        gap = Gap()
        lines = lines_of(request, gap=gap)
        ask = _message(await anext(lines, b"{}"))
        ask[DIRECT] = ask.pop(PAST_BROKERS, None) is True
        elsewhere, ref = self._broker.queueing.elsewhere, request.path_params["ref"]
        row = await (elsewhere.find_again(ref) if ask.get("again") is True else elsewhere.find(ref))
        conversation = await self._broker.live.attach(row, ask)
        straight: Straight | None = request.scope.get(STRAIGHT)
        if straight is not None:
            straight.heard = partial(_hear_at_once, conversation, gap)
        await _carry(conversation, _said(lines), send, NDJSON, partial(_as_line, conversation.ends), straight)

    async def forward(self, request: Request, send: Send) -> None:
        """`relay forward`: one connection."""
        row = await self._broker.queueing.elsewhere.find(request.path_params["ref"])
        port = request.query_params.get("port", "")
        if not (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536):
            raise Misuse("which port?", why="a port lies between 1 and 65535", hint="relay forward ID PORT")
        look = request.query_params.get("look") == "1"
        conversation = await self._broker.live.forward(row, int(port), look)
        straight: Straight | None = request.scope.get(STRAIGHT)
        await _carry(conversation, _pieces(request), send, BYTES, _as_bytes, straight)


async def _carry(
    conversation: Conversation,
    said: AsyncIterator[Message],
    send: Send,
    media_type: bytes,
    form: Callable[[Message], bytes],
    straight: Straight | None,
) -> None:
    """Carry both directions until the task's side has ended. An early error is an answer of its own."""
    speaking: asyncio.Task[None] | None = None
    try:
        message = await conversation.receive()
        await begin(send, media_type)
        if straight is not None:
            conversation.at_once = partial(_say_at_once, straight, form)
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
        conversation.at_once = None
        if straight is not None:
            straight.heard = None
        conversation.close()
        if speaking is not None:
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)


def _say_at_once(straight: Straight, form: Callable[[Message], bytes], message: Message) -> bool:
    """Tell the client; what has another form than it should is for who receives in turn."""
    try:
        return straight.say_now(form(message))
    except RelayError:
        return False


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


class Gap:
    """Whether who reads lines waits for one, and has nothing of it yet."""

    is_open = False


async def lines_of(request: Request, most: int = MAX_LINE, gap: Gap | None = None) -> AsyncIterator[bytes]:
    """The lines of a request's body as they come, each of at most so many bytes.

    Args:
        request: whose body.
        most: bytes of a line.
        gap: told when another one may go before what this waits for.

    Raises:
        Misuse: one is longer.
    """
    rest: list[bytes] = []  # joined once: a line of 16 MiB comes in hundreds of pieces
    size = 0
    gap = gap or Gap()
    async for piece in request.stream():
        gap.is_open = False
        *lines, last = piece.split(b"\n")
        for each in lines:
            yield b"".join((*rest, each))
            rest, size = [], 0
        rest.append(last)
        size += len(last)
        if size > most:
            raise Misuse("a line of the request is too long", hint=OTHER_VERSION)
        gap.is_open = not size


def _hear_at_once(conversation: Conversation, gap: Gap, body: bytes) -> bool:
    """Pass on what is one whole line; all else, and what is wrong with one, is for who reads in turn."""
    if not gap.is_open or body.find(b"\n") != len(body) - 1:
        return False
    try:
        return conversation.send_now(_message(body))
    except RelayError:
        return False


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
    """What the machine of a task says to who attaches, as a client sees it in JSON.

    Raises:
        PeerFault: it has another form.
    """
    told = in_form(message)
    if told is None:
        raise _foreign()
    return told | ({"data": base64.b64encode(told["data"]).decode("ascii")} if "data" in told else {})


def _foreign() -> PeerFault:
    return PeerFault("what the machine of the task said was refused", why="it has another form", hint=OTHER_VERSION)


def _as_line(ends: Ends | None, message: Message) -> bytes:
    told = packed(message)
    if told["k"] == DIRECT:
        host = reached_at(ends, told["host"])
        return b"" if host is None else line(told | {"host": host})
    return line(told)


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
    data = message.get("data", b"")
    if type(data) is not bytes:
        raise _foreign()
    return LENGTH.pack(len(data)) + data

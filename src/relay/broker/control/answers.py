"""The forms of a request and of its answers: one document, or a line each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from starlette.responses import Response, StreamingResponse

from relay.core.errors import Code, Misuse, RelayError

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_BODY = 2 * 1024 * 1024
LARGEST = 2**63  # what the store holds; the products of it by a thousand are finite
MAX_DIGITS = 18
LINES = "application/x-ndjson"
# the hint where only a client of another making can have asked so
OTHER_VERSION = "relay version; relay status: they say whether the command and the broker are of one version"


def json_answer(document: Any, status: int = 200) -> Response:
    """An answer of one document."""
    return Response(json_bytes(document), status, media_type="application/json")


def json_bytes(document: Any) -> bytes:
    """A document as it is sent."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def _counted(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise Misuse("a number of the request is too large", why=f"it has {len(text)} digits", hint=OTHER_VERSION)
    return int(text)


def _measured(text: str) -> float:
    value = float(text)
    if not -LARGEST < value < LARGEST:
        raise Misuse("a number of the request is too large", why=f"{text[:40]} is more than 2^63", hint=OTHER_VERSION)
    return value


async def body_of(request: Request) -> dict[str, Any]:
    """The JSON object of a request.

    Raises:
        Misuse: it is too long, or none, or holds a number that nothing here is counted in.
    """
    data = b""
    async for piece in request.stream():
        data += piece
        if len(data) > MAX_BODY:
            raise Misuse(
                "the request is too long",
                code=Code.BAD_TASK,
                why="a task has at most 200 KiB",
                hint="put the task into a file over there, and name that in it",
            )
    try:
        document = json.loads(data or b"{}", parse_int=_counted, parse_float=_measured)
    except (ValueError, RecursionError):
        raise Misuse("the request is not JSON", hint=OTHER_VERSION) from None
    if not isinstance(document, dict):
        raise Misuse("the request is no JSON object", hint=OTHER_VERSION)
    return document


async def stream(
    lines: AsyncIterator[bytes], at_once: bool = False, reader: Request | None = None, media_type: str = LINES
) -> Response:
    """A stream of lines. The first is fetched before the answer begins, so that an early error is still an error.

    Args:
        lines: each with its line end.
        at_once: begin the answer before the first: there may be none for hours, and the client waits for a beginning.
        media_type: of what comes, where that is no lines of JSON.
        reader: whose request it answers: where that client leaves before the first line, nothing is fetched any more.
    """
    if at_once:
        return StreamingResponse(_safely(lines), media_type=media_type)
    try:
        first = await (anext(lines) if reader is None else _unless_gone(lines, reader))
    except StopAsyncIteration:
        return Response(b"", media_type=media_type)

    async def rest() -> AsyncIterator[bytes]:
        yield first
        async for each in _safely(lines):
            yield each

    return StreamingResponse(rest(), media_type=media_type)


async def _unless_gone(lines: AsyncIterator[bytes], reader: Request) -> bytes:
    """The first line; StopAsyncIteration where there is none, or nobody is there any more to read it."""
    first, gone = asyncio.ensure_future(anext(lines)), asyncio.ensure_future(_gone(reader))
    try:
        await asyncio.wait((first, gone), return_when=asyncio.FIRST_COMPLETED)
        if not first.done():
            raise StopAsyncIteration
        return first.result()
    finally:
        first.cancel()
        gone.cancel()
        await asyncio.gather(first, gone, return_exceptions=True)


async def _gone(reader: Request) -> None:
    while (await reader.receive())["type"] != "http.disconnect":
        pass


async def _safely(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        async for each in lines:
            yield each
    except RelayError as error:
        yield line({"error": error.to_json()})


def line(document: dict[str, Any]) -> bytes:
    """One document of a stream."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace") + b"\n"

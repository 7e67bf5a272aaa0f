"""What a spawn came to, as lines: its output, and its files being written out."""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from relay.broker.attempt_logs import NOTE
from relay.broker.blobs.orders import absolute
from relay.broker.control.answers import body_of, line, stream
from relay.broker.log_words import Waits
from relay.broker.orders import check_operation
from relay.broker.transcripts import AsOf, Found
from relay.broker.words import rfc3339
from relay.spawn.shim.frames import GAP
from relay.spawn.transcript import Chunk

if TYPE_CHECKING:
    from relay.broker.broker import Broker

Endpoint = Callable[[Request], Awaitable[Response]]
_STREAMS = {0: "out", 1: "err", 2: "gap", 3: "note"}


class ResultControl:
    """The endpoints over what spawns gave back.

    Args:
        broker: whose.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    @property
    def routes(self) -> list[tuple[str, str, Endpoint]]:
        """Method, path and endpoint of each."""
        return [("POST", "spawns/{ref}/files", self.files)]

    async def files(self, request: Request) -> Response:
        """`relay result ID --files DIR`."""
        body = await body_of(request)
        check_operation(body)
        row = await self._broker.queueing.elsewhere.kept(request.path_params["ref"], "result")
        folder = absolute(body.get("to"), "the folder to write to")
        return await stream(_lines(self._broker.results.placing.write(row, folder, body.get("force") is True)))


async def _lines(found: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    async for each in found:
        yield line(each)


async def log_lines(pieces: AsyncIterator[Found], as_bytes: bool = False) -> AsyncIterator[bytes]:
    """A transcript as lines of JSON, or as raw lines (`relay.api.raw_lines`)."""
    made = _raw_line if as_bytes else _log_line
    async for found in pieces:
        if isinstance(found, AsOf):
            yield _as_of(found)
        elif isinstance(found, Waits):
            now = time.time_ns() // 1_000_000
            yield _log_line(Chunk(found.offset, found.offset, NOTE, now, f"{found.text}\n".encode()))
        else:
            yield b"".join(map(made, found))


def _as_of(told: AsOf) -> bytes:
    at = rfc3339(told.at_ms)
    # next: nothing of the log was shown yet, should the reader have to ask again
    document = {"at": at, "stream": "gap", "data": "", "next": 0, "missing": told.missing, "as_of": at}
    return line(document | {"reason": told.reason})


def _raw_line(chunk: Chunk) -> bytes:
    if chunk.stream in (GAP, NOTE):
        return _log_line(chunk)
    return line(_head(chunk) | {"bytes": len(chunk.data)}) + chunk.data


def _head(chunk: Chunk) -> dict[str, Any]:
    stream = _STREAMS.get(chunk.stream, "err")
    return {"at": rfc3339(chunk.at_ms), "stream": stream, "next": chunk.next_offset}


def _log_line(chunk: Chunk) -> bytes:
    document = _head(chunk) | {"data": chunk.data.decode("utf-8", "replace")}
    if document["data"].encode() != chunk.data:
        document["raw"] = base64.b64encode(chunk.data).decode("ascii")
    if chunk.missing:
        document["missing"] = chunk.missing
    return line(document)

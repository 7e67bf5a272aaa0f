"""The documents of a stream, out of the pieces that it comes in: a line of JSON each, or a head and bytes.

    application/x-ndjson             {…}\n
    application/x-relay-raw-lines    {…, "bytes": 5}\nhello{…}\n

The bytes of such a raw line are its document's `data`. They are neither quoted by who sends them nor read as text by
who gets them: quoting took a third of the time of the broker that followed a fast writer (in a profile of it).
"""

from __future__ import annotations

import json

from relay.api.http1 import MAX_LINE, BadAnswer, Lines
from relay.api.routes import PREFIX, Call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from relay.api.http1 import Response
    from relay.api.shapes import LogLine, RawLogLine

MEDIA_TYPE = "application/x-relay-raw-lines"


def as_bytes(call: Call[LogLine]) -> Call[LogLine | RawLogLine]:
    """A call of `routes.log` whose broker answers with raw lines; one of an earlier version, with lines of JSON."""
    asked: Call[LogLine | RawLogLine] = Call(f"{call.path.removeprefix(PREFIX)}&bytes=1", patience_s=call.patience_s)
    return asked


def cutter(response: Response) -> Callable[[bytes], list[Any]]:
    """What makes documents of the pieces of an answer's body, given one after another."""
    if response.media_type == MEDIA_TYPE:
        return RawLines().feed
    lines = Lines()
    return lambda piece: [json.loads(line) for line in lines.feed(piece)]


class RawLines:
    """Cuts pieces of a stream into raw lines; a last one without its end is not given out."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._document: dict[str, Any] | None = None  # whose bytes are awaited
        self._wanted = 0

    def feed(self, piece: bytes) -> list[dict[str, Any]]:
        """The documents that this piece completes.

        Raises:
            BadAnswer: a head is no JSON object or too long, or tells of more bytes than 8 MiB.
        """
        self._pieces.append(piece)
        self._size += len(piece)
        if self._document is not None and self._size < self._wanted:
            return []
        rest = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        found: list[dict[str, Any]] = []
        at = 0
        while (end := self._step(rest, at, found)) >= 0:
            at = end
        rest = rest[at:]
        self._pieces, self._size = [rest], len(rest)
        return found

    def _step(self, rest: bytes, at: int, found: list[dict[str, Any]]) -> int:
        """Where what comes next begins; -1 where it has not all come."""
        if self._document is None:
            end = rest.find(b"\n", at)
            if end < 0:
                if len(rest) - at > MAX_LINE:
                    raise BadAnswer("a head of the stream is too long")
                return -1
            self._begin(rest[at:end], found)
            return end + 1
        end = at + self._wanted
        if end > len(rest):
            return -1
        found.append(self._document | {"data": rest[at:end]})
        self._document = None
        return end

    def _begin(self, head: bytes, found: list[dict[str, Any]]) -> None:
        try:
            document = json.loads(head)
        except ValueError:
            document = None
        if type(document) is not dict:
            raise BadAnswer("a head of the stream is no object")
        size = document.pop("bytes", None)
        if size is None:
            found.append(document)
        elif type(size) is int and 0 <= size <= MAX_LINE:
            self._document, self._wanted = document, size
        else:
            raise BadAnswer("what follows a head of the stream is too long")

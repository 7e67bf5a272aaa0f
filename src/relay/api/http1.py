"""The little of HTTP/1.1 that the control socket speaks: bytes in, pieces of a body out. No I/O here.

One parser for the blocking and the asyncio client. `http.client` costs 25 ms of imports, this costs none.
"""

from __future__ import annotations

MAX_HEAD = 64 * 1024
MAX_BODY = 64 * 1024 * 1024
MAX_LINE = 8 * 1024 * 1024

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~@")


class BadAnswer(Exception):
    """What came is not HTTP/1.1, or is cut short."""


def quoted(text: str) -> str:
    """One segment of a path or one value of a query, percent-encoded; a question mark for what is no character."""
    # a command line has other bytes in it now and then, and nothing is called so
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in text.encode(errors="replace"))


def request(method: str, path: str, body: bytes | None, token: str | None = None) -> bytes:
    """The bytes of a request with a JSON body or none, and the token of the task that asks."""
    head = f"{method} {path} HTTP/1.1\r\nHost: relay\r\n"
    if token is not None:
        head += f"Relay-Token: {token}\r\n"
    if body is None:
        return (head + "\r\n").encode("ascii")
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode("ascii") + body


class Response:
    """One answer, fed with bytes as they come.

    Attributes:
        status: the status code; 0 until the head is there.
        done: whether the whole answer has come.
        keep_alive: whether the connection may carry another request.
        media_type: of the body, without its parameters; empty where none is told.
    """

    def __init__(self) -> None:
        self.status = 0
        self.done = False
        self.keep_alive = True
        self.media_type = ""
        self._left = 0
        self._buffer = bytearray()
        self._step = self._head

    def feed(self, data: bytes) -> list[bytes]:
        """The pieces of the body that these bytes complete.

        Raises:
            BadAnswer: they are not HTTP/1.1.
        """
        self._buffer += data
        pieces: list[bytes] = []
        while not self.done and self._step(pieces):
            pass
        if self.done and self._buffer:
            self.keep_alive = False
        return pieces

    def end(self) -> None:
        """Note that the connection was closed.

        Raises:
            BadAnswer: the answer was not complete.
        """
        self.keep_alive = False
        if self._step != self._until_close:
            raise BadAnswer("the connection was closed in the middle of an answer")
        self.done = True

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise BadAnswer("a line of the head is too long")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _head(self, pieces: list[bytes]) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end > MAX_HEAD or (end < 0 and len(self._buffer) > MAX_HEAD):
            raise BadAnswer("the head is too long")
        if end < 0:
            return False
        first, *lines = bytes(self._buffer[:end]).split(b"\r\n")
        del self._buffer[: end + 4]
        self._begin(first, dict(map(_field, lines)))
        return True

    def _begin(self, first: bytes, fields: dict[bytes, bytes]) -> None:
        words = first.split(b" ", 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
            raise BadAnswer("the answer does not begin as HTTP/1.1 does")
        if words[1].startswith(b"1"):
            return  # an interim answer; the real head follows
        self.status = int(words[1])
        self.keep_alive = fields.get(b"connection", b"").lower() != b"close"
        self.media_type = fields.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")
        self._choose_body(fields)

    def _choose_body(self, fields: dict[bytes, bytes]) -> None:
        length = fields.get(b"content-length")
        if b"chunked" in fields.get(b"transfer-encoding", b"").lower():
            self._step = self._chunk_size
        elif self.status in (204, 304) or length == b"0":
            self.done = True
        elif length is None:
            self._step = self._until_close
        else:
            self._left, self._step = _number(length, 10), self._counted

    def _counted(self, pieces: list[bytes]) -> bool:
        self._take(pieces)
        self.done = not self._left
        return False

    def _take(self, pieces: list[bytes]) -> None:
        piece = bytes(self._buffer[: self._left])
        del self._buffer[: len(piece)]
        self._left -= len(piece)
        if piece:
            pieces.append(piece)

    def _until_close(self, pieces: list[bytes]) -> bool:
        self._left = len(self._buffer)
        self._take(pieces)
        return False

    def _chunk_size(self, pieces: list[bytes]) -> bool:
        line = self._line()
        if line is None:
            return False
        self._left = _number(line.split(b";", 1)[0].strip(), 16)
        self._step = self._chunk if self._left else self._trailer
        return True

    def _chunk(self, pieces: list[bytes]) -> bool:
        self._take(pieces)
        if self._left or len(self._buffer) < 2:
            return False
        if self._line() != b"":
            raise BadAnswer("a chunk is longer than it says")
        self._step = self._chunk_size
        return True

    def _trailer(self, pieces: list[bytes]) -> bool:
        line = self._line()
        self.done = line == b""
        return bool(line)


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name.strip().lower(), value.strip()


def _number(digits: bytes, base: int) -> int:
    try:
        value = int(digits, base)
    except ValueError:
        value = -1
    if value < 0 or len(digits) > 16:
        raise BadAnswer("a length in the answer is no number")
    return value


class Lines:
    """Cuts pieces of a stream into lines; a last line without its end is not given out."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """The lines that this piece completes, without empty ones.

        Raises:
            BadAnswer: a line is longer than 8 MiB.
        """
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > MAX_LINE:
            raise BadAnswer("a line of the stream is too long")
        return [line for line in lines if line.strip()]

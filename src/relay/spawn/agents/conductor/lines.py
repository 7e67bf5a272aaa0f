"""Bytes into lines of JSON objects, with a bound on what one line may hold."""

from __future__ import annotations

import json
import re
from typing import Any

MAX_LINE = 8 * 1024 * 1024
MAX_TEXT = 64 * 1024  # of one text in a longer line
_SPECIAL = re.compile(rb'["\\]')
_BACKSLASH = 0x5C
Word = dict[str, Any]


def tables(value: object) -> list[Word]:
    """The objects in a list; none where it is no list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


class Cut(Word):
    """An object whose line was too long: of long texts in it only the beginning is here."""


class Lines:
    """Takes bytes as they come. A line that is too long is cut, text by text; one that holds no object is passed over.

    Args:
        most: bytes that a line may have, and that are kept of a longer one.

    Attributes:
        unread: whether something was passed over that may have been an object; whoever reads sets it back.
    """

    def __init__(self, most: int = MAX_LINE) -> None:
        self._most = most
        self._pieces: list[bytes] = []
        self._size = 0
        self._shortening: _Shortening | None = None
        self.unread = False

    def feed(self, data: bytes) -> list[Word]:
        """The objects that are whole with these bytes."""
        *ended, rest = data.split(b"\n")
        found = []
        for piece in ended:
            self._keep(piece)
            found += self.end()
        self._keep(rest)
        return found

    def end(self) -> list[Word]:
        """The object in a last line that was not ended, if it is whole."""
        line, is_cut, too_long = b"".join(self._pieces), self._shortening is not None, self._size > self._most
        self._pieces, self._size, self._shortening = [], 0, None
        if too_long or not line:
            self.unread |= too_long
            return []
        try:
            # what is no UTF-8, or a control letter that should have been escaped, costs a letter and not the word
            word = json.loads(line.decode("utf-8-sig", "replace"), strict=False)
        except (ValueError, RecursionError):
            self.unread |= is_cut or line.startswith(b'{"')
            return []
        if not isinstance(word, dict):
            return []
        return [Cut(word) if is_cut else word]

    def _keep(self, piece: bytes) -> None:
        if self._shortening is not None:
            piece = self._shortening.shortened(piece)
        self._size += len(piece)
        if self._size > self._most and self._shortening is None:
            self._shortening = _Shortening()
            piece = self._shortening.shortened(b"".join([*self._pieces, piece]))
            self._pieces, self._size = [], len(piece)
        if self._size > self._most:
            self._pieces = []
        elif piece:
            self._pieces.append(piece)


class _Shortening:
    """JSON as it comes, but for what is behind the beginning of its texts."""

    def __init__(self) -> None:
        self._in_text = self._is_escaping = False
        self._kept = self._owed = 0

    def shortened(self, data: bytes) -> bytes:
        """What is kept of the next bytes."""
        out, at = bytearray(), 0
        while at < len(data):
            at = self._text(data, at, out) if self._in_text else self._between(data, at, out)
        return bytes(out)

    def _between(self, data: bytes, at: int, out: bytearray) -> int:
        end = data.find(b'"', at) + 1
        out += data[at : end or len(data)]
        self._in_text, self._kept = end > 0, 0
        return end or len(data)

    def _text(self, data: bytes, at: int, out: bytearray) -> int:
        """Take a run of letters, an escaped one, or the end of a text; where it goes on."""
        if self._is_escaping:
            self._is_escaping = False
            if self._kept < MAX_TEXT:
                out += b"\\" + data[at : at + 1]
                self._kept += 2
                self._owed = 4 if data[at : at + 1] == b"u" else 0
            return at + 1
        if self._kept >= MAX_TEXT and not self._owed:
            return self._passed_over(data, at, out)
        found = _SPECIAL.search(data, at)
        end = found.start() if found else len(data)
        more = min(end - at, max(MAX_TEXT - self._kept, self._owed))
        out += data[at : at + more]
        self._kept, self._owed = self._kept + more, max(0, self._owed - more)
        if found:
            self._is_escaping = found[0] == b"\\"
            self._in_text = self._is_escaping
            out += b"" if self._is_escaping else b'"'
            end += 1
        return end

    def _passed_over(self, data: bytes, at: int, out: bytearray) -> int:
        """Go to the end of a text: the next quotation mark that no odd number of backslashes is before."""
        end = at
        while (end := data.find(b'"', end)) >= 0:
            if _backslashes(data, at, end) % 2 == 0:
                self._in_text = False
                out += b'"'
                return end + 1
            end += 1
        self._is_escaping = _backslashes(data, at, len(data)) % 2 == 1
        return len(data)


def _backslashes(data: bytes, since: int, end: int) -> int:
    """How many stand right before a place."""
    at = end
    while at > since and data[at - 1] == _BACKSLASH:
        at -= 1
    return end - at

"""Bytes into lines of JSON objects, with a bound on what one line may hold."""

from __future__ import annotations

import json
from typing import Any

MAX_LINE = 16 * 1024 * 1024
Word = dict[str, Any]


def tables(value: object) -> list[Word]:
    """The objects in a list; none where it is no list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


class Lines:
    """Takes bytes as they come. A line that is too long, or holds no JSON object, is passed over.

    Args:
        most: bytes that a line may have.

    Attributes:
        unread: whether something was passed over that may have been an object; whoever reads sets it back.
    """

    def __init__(self, most: int = MAX_LINE) -> None:
        self._most = most
        self._pieces: list[bytes] = []
        self._size = 0
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
        line, too_long = b"".join(self._pieces), self._size > self._most
        self._pieces, self._size = [], 0
        if too_long or not line:
            self.unread |= too_long
            return []
        try:
            # what is no UTF-8, or a control letter that should have been escaped, costs a letter and not the word
            word = json.loads(line.decode("utf-8-sig", "replace"), strict=False)
        except (ValueError, RecursionError):
            self.unread |= line.startswith(b'{"')
            return []
        return [word] if isinstance(word, dict) else []

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._most:
            self._pieces = []
        elif piece:
            self._pieces.append(piece)

"""Text as a terminal would show it, without what steers the terminal: escape sequences, control characters, and the
invisible ones that show words in another order than they were written in, or hide some.

    text ── ESC ──► escape ── [ ──► sequence ── @…~ ──► text
      │               ├── ] P X ^ _ ──► string ── BEL, ESC \\, end of line ──► text
      │               ├── space…/ ──► designation ── 0…~ ──► text
      │               └── anything else ──► text
      └── C2 ──► pair ── 90 98 9B 9D 9E 9F: as ESC P X [ ] ^ _; else 80…9F dropped

As ECMA-48 has it, but a string ends with its line at the latest: nothing hides more than that. `\\r\\n` becomes
`\\n`, and a lone `\\r` too: what a progress bar overwrites stays to be read. Bytes above 7F pass, so that UTF-8 does.
What comes out of these states is looked through once more, as what was taken out may have stood amid a character.
"""

from __future__ import annotations

import re
from enum import Enum, auto

_ESC, _BEL, _CR, _LF, _C1_LEAD = 0x1B, 0x07, 0x0D, 0x0A, 0xC2
_STRINGS = frozenset(b"]PX^_")
_C1_STRINGS = frozenset((0x90, 0x98, 0x9D, 0x9E, 0x9F))
_C1_SEQUENCE = 0x9B
_STEERS = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f\xc2]")

# marks, embeddings, overrides and isolates of UAX #9, with the deprecated ones; the byte order mark, the zero-width
# space, word joiner and invisible operators; annotations; tags. U+200C and U+200D stay: scripts and emoji need them
_FIRST = rb"[\xd8\xe1\xe2\xef\xf3]"  # looked for by itself: in text of other alphabets that is ten times as quick
_INVISIBLE = (
    rb"(?<=\xd8)\x9c|(?<=\xe1)\xa0\x8e|(?<=\xe2)(?:\x80[\x8b\x8e\x8f\xaa-\xae]|\x81[\xa0-\xaf])"
    rb"|(?<=\xef)(?:\xbb\xbf|\xbf[\xb9-\xbb])|(?<=\xf3)\xa0[\x80\x81][\x80-\xbf]"
)
_LINE_ENDS = rb"(?<=\xe2)\x80[\xa8\xa9]"
_REST = rb"[\x80-\xbf]*"  # bytes of no character: with what stood before they could make another of these
_UNSEEN = re.compile(rb"%b(?:(?P<end>%b)|(?:%b)%b)" % (_FIRST, _LINE_ENDS, _INVISIBLE, _REST))
_BEGUN = re.compile(rb"(?:\xd8|\xe1\xa0?|\xe2[\x80\x81]?|\xef[\xbb\xbf]?|\xf3(?:\xa0[\x80\x81]?)?)\Z")
_LONGEST_BEGUN = 3
_CONTINUATIONS = bytes(range(0x80, 0xC0))


class _State(Enum):
    TEXT = auto()
    ESCAPE = auto()
    DESIGNATION = auto()
    SEQUENCE = auto()
    STRING = auto()
    STRING_ESCAPE = auto()
    PAIR = auto()
    RETURN = auto()


class _Seen:
    """Takes out of a stream what is not seen; it keeps the beginning of one such character."""

    def __init__(self) -> None:
        self._begun = b""
        self._is_after = False  # one was taken out last
        self._taken = 0

    def feed(self, data: bytes) -> bytes:
        if not self._begun and data.isascii():
            self._is_after = self._is_after and not data
            return data
        if self._is_after and not self._begun:
            data = data.lstrip(_CONTINUATIONS)
        whole = self._begun + data
        begun = _BEGUN.search(whole, max(0, len(whole) - _LONGEST_BEGUN))
        self._begun = begun[0] if begun else b""
        whole = whole[: len(whole) - len(self._begun)]
        if not whole:
            return b""
        self._taken = -1
        seen = _UNSEEN.sub(self._take, whole)
        self._is_after = self._taken == len(whole)
        return seen

    def _take(self, found: re.Match[bytes]) -> bytes:
        if found["end"] is not None:
            return b"\n"
        self._taken = found.end()
        return b""

    def end(self) -> bytes:
        """What was kept, which becomes no such character any more."""
        kept, self._begun, self._is_after = self._begun, b"", False
        return kept


class Plain:
    """Strips one stream of bytes, fed in pieces cut anywhere; it keeps no text but three bytes at most."""

    def __init__(self) -> None:
        self._state = _State.TEXT
        self._seen = _Seen()

    def feed(self, data: bytes) -> bytes:
        """What of these bytes is text."""
        return self._seen.feed(self._stripped(data))

    def _stripped(self, data: bytes) -> bytes:
        out = bytearray()
        at = 0
        while at < len(data):
            if self._state is _State.TEXT:
                found = _STEERS.search(data, at)
                end = found.start() if found else len(data)
                out += data[at:end]
                at = end
                if at == len(data):
                    break
            self._take(data[at], out)
            at += 1
        return bytes(out)

    def end(self) -> bytes:
        """What was still open at the end of the stream: a line's end, or bytes that are no character."""
        last = b"\n" if self._state is _State.RETURN else b""
        self._state = _State.TEXT
        return self._seen.end() + last

    def _take(self, byte: int, out: bytearray) -> None:
        self._state = _STEPS[self._state](byte, out)


def _text(byte: int, out: bytearray) -> _State:
    if byte == _ESC:
        return _State.ESCAPE
    if byte == _CR:
        return _State.RETURN
    if byte == _C1_LEAD:
        return _State.PAIR
    if byte in b"\t\n" or (byte >= 0x20 and byte != 0x7F):
        out.append(byte)
    return _State.TEXT


def _return(byte: int, out: bytearray) -> _State:
    out.append(_LF)
    return _State.TEXT if byte == _LF else _text(byte, out)


def _escape(byte: int, out: bytearray) -> _State:
    if byte == ord("["):
        return _State.SEQUENCE
    if byte in _STRINGS:
        return _State.STRING
    if 0x20 <= byte <= 0x2F:
        return _State.DESIGNATION
    # the last byte of a short escape; a control character or UTF-8 is no part of one
    return _State.TEXT if 0x30 <= byte <= 0x7E else _text(byte, out)


def _designation(byte: int, out: bytearray) -> _State:
    if 0x20 <= byte <= 0x2F:
        return _State.DESIGNATION
    return _State.TEXT if 0x30 <= byte <= 0x7E else _text(byte, out)


def _sequence(byte: int, out: bytearray) -> _State:
    if 0x20 <= byte <= 0x3F:
        return _State.SEQUENCE
    return _State.TEXT if 0x40 <= byte <= 0x7E else _text(byte, out)


def _string(byte: int, out: bytearray) -> _State:
    if byte == _BEL:
        return _State.TEXT
    if byte == _ESC:
        return _State.STRING_ESCAPE
    return _text(byte, out) if byte in b"\r\n" else _State.STRING


def _string_escape(byte: int, out: bytearray) -> _State:
    return _State.TEXT if byte == ord("\\") else _escape(byte, out)


def _pair(byte: int, out: bytearray) -> _State:
    if byte == _C1_SEQUENCE:
        return _State.SEQUENCE
    if byte in _C1_STRINGS:
        return _State.STRING
    if 0x80 <= byte <= 0x9F:
        return _State.TEXT
    if 0xA0 <= byte <= 0xBF:
        out += bytes((_C1_LEAD, byte))
        return _State.TEXT
    # no letter: left standing, it could make one of these with what comes after a sequence that is taken out
    return _text(byte, out)


_STEPS = {
    _State.TEXT: _text,
    _State.ESCAPE: _escape,
    _State.DESIGNATION: _designation,
    _State.SEQUENCE: _sequence,
    _State.STRING: _string,
    _State.STRING_ESCAPE: _string_escape,
    _State.PAIR: _pair,
    _State.RETURN: _return,
}

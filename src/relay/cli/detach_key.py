"""The key that leaves an attached task."""

from __future__ import annotations

import re

DEFAULT = "ctrl-]"
_CONTROLS = {chr(64 + code): code for code in range(32)}


def code_of(text: str) -> int:
    """The byte of a key written `ctrl-]`, `^]` or as one plain letter.

    Raises:
        Misuse: it is none of these.
    """
    lowered = text.lower()
    for prefix in ("ctrl-", "^"):
        letter = lowered.removeprefix(prefix).upper()
        if lowered.startswith(prefix) and letter in _CONTROLS:
            return _CONTROLS[letter]
    if len(text) == 1 and text.isascii() and text.isprintable():
        return ord(text)
    from relay.core.errors import Misuse

    raise Misuse(f"{text[:20]!r} is no key", why="a key is written ctrl-], ^] or as one letter", hint="relay attach ID")


def name_of(key: int) -> str:
    """A key as a person reads it."""
    return f"Ctrl-{chr(key + 64)}" if key < 32 else chr(key)


def place_of(key: int, typed: bytes) -> int:
    """Where a key stands in what was typed, -1 for nowhere.

    A program may have its terminal tell keys by sequences: `CSI 93;5u` for Ctrl-] (kitty's protocol, in which
    the caps and num locks count 64 and 128), or `CSI 27;5;93~` (xterm's modifyOtherKeys).
    """
    code, held = (ord(chr(key + 64).lower()), b";(?:5|69|133|197)") if key < 32 else (key, b"(?:;(?:1|65|129|193))?")
    told = rb"\x1b\[%d(?::[0-9:]*)?%b(?::1)?u" % (code, held)
    other = rb"|\x1b\[27;5;%d~" % code if key < 32 else b""
    found = re.search(re.escape(bytes([key])) + b"|" + told + other, typed)
    return found.start() if found else -1

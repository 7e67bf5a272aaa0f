"""The key that leaves an attached task."""

from __future__ import annotations

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

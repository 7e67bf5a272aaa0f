"""Makes other people's text safe to show: a name or a task must not steer the terminal it is printed on."""

from __future__ import annotations

KEPT = frozenset("\n\t")


def clean(text: str) -> str:
    """One line of text; escape sequences, control and invisible characters become visible escapes."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def clean_lines(text: str) -> str:
    """The same for text of several lines: line ends and tabs stay."""
    return "".join(letter if letter.isprintable() or letter in KEPT else _escape(letter) for letter in text)


def brief(text: str, limit: int = 60) -> str:
    """The first line of a text, cleaned and cut to so many characters."""
    first, _, rest = text.strip().partition("\n")
    if len(first) <= limit:
        return clean(first) + (" ..." if rest else "")
    return clean(first[: limit - 3]) + "..."


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape", "surrogatepass").decode("ascii")

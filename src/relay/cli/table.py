"""Aligned tables: plain text when piped; headings, colour and the terminal's width when a person looks.

Own code and not rich: rich takes 60 ms to import, four times what `relay ps` takes without it.
"""

from __future__ import annotations

import os
import sys

from relay.cli import speech
from relay.cli.clean import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GAP = "  "
NARROWEST = 12
MORE = "…"
INDENT, BELOW = "  ", 2
LEAST_BESIDE = 24
"""With less room than that beside the others, what the last column has no room for stands in lines below its row."""
WORD_COLOURS: Mapping[str, str] = {
    "Working": speech.GREEN,
    "Done": speech.GREEN,
    "Starting": speech.GREEN,
    "Needs you": speech.YELLOW,
    "Queued": speech.DIM,
    "Failed": speech.RED,
    "Refused": speech.RED,
    "Lost": speech.RED,
    "Unreachable": speech.YELLOW,
}


def width_of(text: str) -> int:
    """Columns on a terminal: wide letters take two, combining ones none."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(each) else 2 if east_asian_width(each) in "WF" else 1 for each in text)


def as_written(text: str) -> str:
    """A text cleaned, and with an escape for each letter that stdout has none for: as wide as it will be written."""
    text = clean(text)
    if text.isascii():
        return text
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def has_ellipsis() -> bool:
    """Whether stdout has a letter that says that there would be more."""
    return as_written(MORE) == MORE


def show(
    headings: Sequence[str], rows: Sequence[Sequence[str]], nothing: str, first_to_go: Sequence[str] = ()
) -> None:
    """Print a table on stdout.

    Args:
        headings: one for each column.
        rows: texts; they are cleaned here. The last column is cut, or stands below, where a terminal is too narrow.
        nothing: what to say on stderr where there are no rows.
        first_to_go: headings of columns that are left out where a terminal is too narrow for them, in this order.
    """
    if not rows:
        speech.note(nothing)
        return
    for line in render(headings, rows, _room(), speech.has_colour(sys.stdout), first_to_go):
        speech.say(line)


def render(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    room: int | None = None,
    colour: bool = False,
    first_to_go: Sequence[str] = (),
) -> list[str]:
    """The lines of a table.

    Args:
        headings: one for each column.
        rows: texts, not yet cleaned.
        room: the columns of the terminal; None for no limit.
        colour: whether to colour headings and state words.
        first_to_go: headings of columns to leave out where there is no room for them, in this order.
    """
    cells = [list(headings), *([as_written(each) for each in row] for row in rows)]
    if room is not None:
        for heading in first_to_go:
            cells = cells if _least(cells) <= room else _without(cells, heading)
    widths = [max(map(width_of, column)) for column in zip(*cells, strict=True)]
    if room is not None:
        _fit(widths, room - len(GAP) * (len(widths) - 1))
    below = room - len(INDENT) if room is not None and widths[-1] < LEAST_BESIDE else None
    lines = [line for row in cells for line in _lines(row, widths, colour, below)]
    return [f"\x1b[{speech.BOLD}m{lines[0]}\x1b[0m" if colour else lines[0], *lines[1:]]


def _least(cells: list[list[str]]) -> int:
    """The columns of a terminal that all of them take at least."""
    needed = [min(max(map(width_of, column)), NARROWEST) for column in zip(*cells, strict=True)]
    return sum(needed) + len(GAP) * (len(needed) - 1)


def _without(cells: list[list[str]], heading: str) -> list[list[str]]:
    at = cells[0].index(heading)
    return [row[:at] + row[at + 1 :] for row in cells]


def _fit(widths: list[int], room: int) -> None:
    """Cut the last column to what is left; where that is less than a third of all, the widest of the others too."""
    last = widths[-1]
    widths[-1] = min(last, max(room // 3, NARROWEST))
    while sum(widths) > room and max(widths[:-1]) > NARROWEST:
        widths[widths.index(max(widths[:-1]))] -= 1
    widths[-1] = min(last, max(room - sum(widths[:-1]), NARROWEST))


def state_colour(text: str) -> str | None:
    """The colour of a word for a state; None for another word."""
    return WORD_COLOURS.get(text)


def facts(pairs: Sequence[tuple[str, str]]) -> None:
    """Print names and values, a line each, the names aligned; pairs without a value are left out."""
    told = [(name, value) for name, value in pairs if value]
    column = max((len(name) for name, _ in told), default=0) + 2
    for name, value in told:
        speech.say(f"{name}:".ljust(column) + clean(value))


def _room() -> int | None:
    if not speech.is_terminal(sys.stdout):
        return None
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except OSError:
        return None


def _lines(row: Sequence[str], widths: Sequence[int], colour: bool, below: int | None) -> list[str]:
    """A row; in lines below it, of so many columns, what it has no room for at its end."""
    if below is None or width_of(row[-1]) <= widths[-1]:
        return [_line(row, widths, colour)]
    return [_line([*row[:-1], ""], widths, colour), *(INDENT + line for line in _folded(row[-1], below))]


def _folded(text: str, width: int) -> list[str]:
    lines: list[str] = []
    while width_of(text) > width and len(lines) < BELOW - 1:
        whole = _cut(text, width + 1).rpartition(" ")[0]
        line = whole if width_of(whole) > width // 2 else _cut(text, width)  # a long word is cut
        lines.append(line)
        text = text[len(line) :].lstrip()
    return [*lines, _fitting(text, width)]


def _fitting(text: str, width: int) -> str:
    if width_of(text) <= width:
        return text
    more = MORE if has_ellipsis() else "..."
    return _cut(text, width - len(more)) + more[: max(width, 0)]


def _line(row: Sequence[str], widths: Sequence[int], colour: bool) -> str:
    padded = [_cell(text, width, colour) for text, width in zip(row, widths, strict=True)]
    return GAP.join(padded).rstrip()


def _cell(text: str, width: int, colour: bool) -> str:
    fitting = _fitting(text, width)
    padding = " " * (width - width_of(fitting))
    code = state_colour(text) if colour else None
    return (f"\x1b[{code}m{fitting}\x1b[0m" if code else fitting) + padding


def _cut(text: str, width: int) -> str:
    while text and width_of(text) > width:  # a window may be narrower than what stands beside it
        text = text[:-1]
    return text

"""What the command says: results on stdout, notes and errors on stderr, JSON where it is asked for."""

from __future__ import annotations

import _thread  # `threading` costs a command 2 ms
import sys

from relay.cli.clean import clean, clean_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from relay.core.errors import RelayError

OUTPUT = "<stdout>"
"""The `filename` of an OSError that was met where the command prints."""
ERASE = "\r\x1b[K"
_line = _thread.allocate_lock()
_drawn: dict[str, str] = {}
BOLD, DIM, RED, GREEN, YELLOW, PLAIN = "1", "2", "31", "32", "33", "0"


class Printing:
    """A block that writes to stdout: what fails there is told from what fails elsewhere."""

    def __enter__(self) -> None:
        """Nothing is done before."""

    def __exit__(self, kind: object, fault: BaseException | None, trace: object) -> None:
        if isinstance(fault, OSError):
            fault.filename = OUTPUT


def say(text: str = "") -> None:
    """A line on stdout."""
    put(text + "\n")


def put(text: str) -> None:
    """A text on stdout."""
    with Printing():
        sys.stdout.write(text)


def flush() -> None:
    """What was said on stdout is out."""
    with Printing():
        sys.stdout.flush()


def put_at_once(data: bytes) -> None:
    """Bytes on stdout, after what was said before, and out."""
    with Printing():
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def note(text: str) -> None:
    """A line on stderr: what happens, for people; scripts need not read it."""
    flush()
    with _line:
        sys.stderr.write(_drawn.pop("erase", "") + text + "\n")
        sys.stderr.flush()


def draw(text: str) -> None:
    """Draw a line of stderr over the one drawn before; a note stands in its place. Empty: leave nothing of it."""
    with _line:
        sys.stderr.write(ERASE + text)
        sys.stderr.flush()
        _drawn.clear()
        _drawn.update({"erase": ERASE} if text else {})


def document(value: object) -> None:
    """One JSON document on a line of stdout. ASCII only, so that no text in it can steer a terminal."""
    import json

    say(json.dumps(value))


def streamed(value: object) -> None:
    """One JSON object of a stream, out at once."""
    document(value)
    flush()


def is_terminal(stream: TextIO) -> bool:
    """Whether a person looks at this stream directly."""
    try:
        return stream.isatty()
    except ValueError:
        return False


def is_drawable(stream: TextIO) -> bool:
    """Whether something may be drawn over itself there."""
    import os

    return is_terminal(stream) and os.environ.get("TERM") != "dumb"


def has_colour(stream: TextIO) -> bool:
    """Whether colour is wanted there: a terminal that knows it, and NO_COLOR unset (no-color.org)."""
    import os

    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def coloured(text: str, colour: str, stream: TextIO | None = None) -> str:
    """The text in a colour where the stream shows it."""
    return f"\x1b[{colour}m{text}\x1b[{PLAIN}m" if has_colour(stream or sys.stdout) else text


def error(fault: RelayError, as_json: bool = False) -> None:
    """An error in the contract's form: what, why, and the command that mends it."""
    if as_json:
        document({"error": fault.to_json()})
        return
    label = coloured("error:", RED, sys.stderr)
    lines = [f"{label} {clean(fault.message)}"]
    lines += [f"why:   {_set_in(fault.why)}"] if fault.why else []
    lines += [f"try:   {_set_in(fault.hint)}"] if fault.hint else []
    note("\n".join(lines))


def _set_in(text: str) -> str:
    """Further lines stand further in: what an agent asks may have some, and must not read as a `try:` of ours."""
    return clean_lines(text).replace("\n", "\n       ")

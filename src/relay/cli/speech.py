"""What the command says: results on stdout, notes and errors on stderr, JSON where it is asked for."""

from __future__ import annotations

import sys

from relay.cli.clean import clean, clean_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from relay.core.errors import RelayError

BOLD, DIM, RED, GREEN, YELLOW, PLAIN = "1", "2", "31", "32", "33", "0"


def say(text: str = "") -> None:
    """A line on stdout."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """A line on stderr: what happens, for people; scripts need not read it."""
    sys.stdout.flush()
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def document(value: object) -> None:
    """One JSON document on a line of stdout. ASCII only, so that no text in it can steer a terminal."""
    import json

    sys.stdout.write(json.dumps(value) + "\n")


def streamed(value: object) -> None:
    """One JSON object of a stream, out at once."""
    document(value)
    sys.stdout.flush()


def is_terminal(stream: TextIO) -> bool:
    """Whether a person looks at this stream directly."""
    try:
        return stream.isatty()
    except ValueError:
        return False


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
    lines += [f"why:   {clean_lines(fault.why)}"] if fault.why else []
    lines += [f"try:   {clean_lines(fault.hint)}"] if fault.hint else []
    note("\n".join(lines))

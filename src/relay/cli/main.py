"""The command's start: parse by the table, call the verb, turn every failure into words and an exit status.

Nothing is imported here that a verb may not need: Python's own start is most of what `relay ps` takes.
"""

from __future__ import annotations

import os
import sys

from relay.cli.parsing import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from relay.cli.parsing import Parsed

INTERRUPTED = 130
PIPE_CLOSED = 141  # what a program in C exits with when its reader has gone: 128 + SIGPIPE
HELP_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "help")


def main(argv: list[str] | None = None) -> int:
    """Run one command line and give back its exit status.

    Args:
        argv: what follows `relay`; None for this process's own.
    """
    words = sys.argv[1:] if argv is None else argv
    if sys.stdout is None or sys.stderr is None:
        _open_what_was_closed()
    try:
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        status = _carry_out(words)
        _put("")
        return status
    except BrokenPipeError:
        _silence_both()
        return PIPE_CLOSED
    except KeyboardInterrupt as fault:
        _say_interrupted("".join(map(str, fault.args)))
        return INTERRUPTED
    except Exception as fault:
        from relay.cli.failing import report

        return report(fault, words)


def _say_interrupted(left: str) -> None:
    """What a person should know of what was on its way, on a line of its own below the ^C."""
    from relay.cli import speech

    try:
        if speech.is_terminal(sys.stderr):
            speech.note(f"\n{left}" if left else "")
        elif left:
            speech.note(left)
    except OSError:  # the key ended who reads it, too
        _silence_both()


def _open_what_was_closed() -> None:
    """Whoever started the command closed its output (`>&-`): what it says goes nowhere, as with every other program."""
    while os.open(os.devnull, os.O_RDWR) < 2:
        pass  # the lowest numbers are taken first: no socket may come to be what errors are written to
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)


def _carry_out(words: list[str]) -> int:
    from relay.cli.surface import TABLE

    parsed = parse(words, TABLE)
    if parsed is None:
        from relay.cli.fallback import parse_slowly

        parsed = parse_slowly(words)
    return _show_help(parsed.verb) if parsed.help else run(parsed)


def run(parsed: Parsed) -> int:
    """Call the verb that a command line names."""
    from relay.cli.invocation import Invocation
    from relay.cli.surface import TABLE

    values = dict(parsed.values)
    invocation = Invocation(values.pop("home"), values.pop("json"))
    for name, value in values.items():
        if not _is_ascii(value):
            from relay.cli.blanks import refuse_bytes

            refuse_bytes(parsed.verb, name, value)
    target = TABLE[parsed.verb]["target"] if parsed.verb else "relay.cli.verbs.bare:run"
    module, _, function = target.partition(":")
    status: int = getattr(__import__(module, fromlist=[function]), function)(invocation, **values)
    return status


def _is_ascii(value: object) -> bool:
    if isinstance(value, str):
        return value.isascii()
    return not isinstance(value, (list, tuple)) or all(_is_ascii(each) for each in value)


def _show_help(verb: str) -> int:
    with open(os.path.join(HELP_FOLDER, f"{(verb or 'relay').replace(' ', '-')}.txt"), encoding="utf-8") as file:
        _put(file.read())
    return 0


def _put(text: str) -> None:
    """A text on stdout, and all that was said there before, out."""
    try:
        if text:  # a write of nothing is a write all the same, and may fail where nothing was to be said
            sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as fault:
        from relay.cli.speech import OUTPUT

        fault.filename = OUTPUT
        raise


def _silence_both() -> None:
    for stream in (sys.stdout, sys.stderr):
        silence(stream)


def silence(stream: TextIO) -> None:
    """What is still in its buffer must not fail again, now or while Python ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)

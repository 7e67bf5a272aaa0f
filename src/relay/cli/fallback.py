"""The slow way to parse: by typer itself, for what the table does not accept and for saying what is wrong."""

from __future__ import annotations

import functools
import re
from typing import Any

from typer.main import get_command

from relay.cli import app
from relay.cli.declaring import UsageFault
from relay.cli.parsing import Parsed
from relay.cli.surface import TABLE
from relay.core.errors import Misuse

WITH_A_TEXT = {"spawn": "task", "edit": "task", "send": "text", "continue": "text"}
NUMBERS = {"integer": "whole number", "number": "number"}
_LEAST = re.compile(r"Input should be greater than or equal to (-?\d+)")
_MOST = re.compile(r"Input should be less than or equal to (\d+)")
_NUMBER = re.compile(r"Input should be a valid (integer|number), unable to parse.*")


@functools.cache
def command() -> Any:
    """The whole command as typer has it; made once: that takes longer than all else."""
    return get_command(app.build())


def parse_slowly(words: list[str]) -> Parsed:
    """The verb and its values.

    Raises:
        Misuse: what is wrong with the line, in typer's words.
    """
    if words == ["--version"]:
        return Parsed("version", {"json": False, "home": None})
    if words and words[0] == "help":
        return _of_verb(words[1:])
    try:
        parsed = command().main(list(words), prog_name="relay", standalone_mode=False)
    except UsageFault as fault:
        raise _misuse(fault, words) from fault
    if isinstance(parsed, Parsed):
        return parsed
    raise Misuse("that cannot be understood", hint="relay --help")


def _of_verb(words: list[str]) -> Parsed:
    key = " ".join(words)
    if key and key not in TABLE and not any(each.startswith(key + " ") for each in TABLE):
        raise Misuse(f"there is no verb {key[:80]!r}", hint="relay --help")
    return Parsed(key, {}, asks_help=True)


def _misuse(fault: Any, words: list[str]) -> Misuse:
    context = getattr(fault, "ctx", None)
    path = context.command_path if context is not None else f"relay {_verb_in(words)}".rstrip()
    message = str(fault.format_message()).rstrip(".")
    message = _NUMBER.sub(lambda found: f"it takes a {NUMBERS[found[1]]}", message)
    message = _MOST.sub(r"it is at most \1", _LEAST.sub(r"it is at least \1", message))
    return Misuse(message[:1].lower() + message[1:], why=_dashes(message, words), hint=f"{path} --help")


def _verb_in(words: list[str]) -> str:
    """The verb of a line that could not be read as far as that: the first words that are one."""
    for at, word in enumerate(words):
        for key in (" ".join(words[at : at + 2]), word):
            if key in TABLE:
                return key
    return ""


def _dashes(message: str, words: list[str]) -> str:
    """A word of the task, or a text, that starts with a dash is the likeliest slip of all."""
    what = WITH_A_TEXT.get(words[0]) if words else None
    if what and message.startswith("No such option") and "--" not in words:
        return f"words that start with a dash and belong to the {what} stand after --"
    return ""

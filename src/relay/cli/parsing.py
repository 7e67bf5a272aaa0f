"""Parses a command line by the generated table. Imports nothing: this runs before every verb.

What the table does not accept gives None, and typer parses it again (`relay.cli.fallback`), to say what is wrong.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from relay.cli.surface import Entry

FLAG, TEXT, NUMBER, TEXTS = "flag", "text", "number", "texts"
COMMON: dict[str, tuple[str, str, object]] = {"--json": ("json", FLAG, True), "--home": ("home", TEXT, None)}
HELP = ("--help", "-h")
MOST_DIGITS = 18  # of 5,000 no number is made: that is an error of its own, of Python's


class Parsed:
    """What a command line says.

    Attributes:
        verb: its key in the table, such as `ps` or `trust allow`; empty for bare `relay`.
        values: every word and option by name, `json` and `home` among them.
        help: whether help was asked for; the other values then count for nothing.
    """

    __slots__ = ("help", "values", "verb")

    def __init__(self, verb: str, values: dict[str, Any], asks_help: bool = False) -> None:
        self.verb = verb
        self.values = values
        self.help = asks_help


class NotByTable(Exception):
    """The table does not accept the line."""


def parse(argv: list[str], table: dict[str, Entry]) -> Parsed | None:
    """The verb and its values, or None where the table does not accept the line.

    Args:
        argv: what follows `relay`.
        table: `relay.cli.surface.TABLE`.
    """
    try:
        return _parse(list(argv), table)
    except NotByTable:
        return None


def _parse(rest: list[str], table: dict[str, Entry]) -> Parsed:
    values: dict[str, Any] = {"json": False, "home": None}
    verb = ""
    while verb not in table:
        _take_common(rest, values)
        if not rest or rest[0] in HELP:
            return _without_verb(verb, values, bool(rest))
        verb = f"{verb} {rest.pop(0)}".strip()
        if verb not in table and not any(key.startswith(verb + " ") for key in table):
            raise NotByTable
    # `outbox` is a verb and the first word of others
    while rest and f"{verb} {rest[0]}" in table:
        verb = f"{verb} {rest.pop(0)}"
    return _read(verb, rest, table[verb], values)


def _without_verb(verb: str, values: dict[str, Any], asks_help: bool) -> Parsed:
    if verb and not asks_help:
        raise NotByTable  # a group without its verb
    return Parsed(verb, values, asks_help)


def _take_common(rest: list[str], values: dict[str, Any]) -> None:
    while rest and rest[0].partition("=")[0] in COMMON:
        _take_option(rest.pop(0), rest, COMMON, values)


def _read(verb: str, rest: list[str], entry: Entry, values: dict[str, Any]) -> Parsed:
    values.update({key: list(value) if type(value) is list else value for key, value in entry["values"].items()})
    words: list[str] = []
    while rest:
        word = rest.pop(0)
        if word in HELP:
            return Parsed(verb, values, asks_help=True)
        if word == "--":
            words += rest
            break
        if word == "-" or not word.startswith("-"):
            words.append(word)
        else:
            _take_option(word, rest, {**COMMON, **entry["options"]}, values)
    _place(words, entry["words"], values)
    return Parsed(verb, values)


def _take_option(
    word: str, rest: list[str], options: dict[str, tuple[str, str, object]], values: dict[str, Any]
) -> None:
    flag, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
    if flag not in options:
        raise NotByTable
    name, kind, constant = options[flag]
    if kind == FLAG:
        if equals:
            raise NotByTable
        values[name] = constant
        return
    if not equals:
        if not rest:
            raise NotByTable
        value = rest.pop(0)
    _store(name, kind, constant, value, values)


def _store(name: str, kind: str, bounds: Any, value: str, values: dict[str, Any]) -> None:
    if kind == TEXTS:
        values[name].append(value)
    elif kind == TEXT:
        values[name] = value
    elif value.isascii() and value.isdigit() and len(value) <= MOST_DIGITS and _is_within(int(value), bounds):
        values[name] = int(value)
    else:
        raise NotByTable


def _is_within(number: int, bounds: Any) -> bool:
    least, most = bounds or (None, None)
    return (least is None or number >= least) and (most is None or number <= most)


def _place(words: list[str], declared: list[tuple[str, bool, bool]], values: dict[str, Any]) -> None:
    for name, required, many in declared:
        if required and not words:
            raise NotByTable
        if many:
            values[name], words = words, []
        elif words:
            values[name], words = words[0], words[1:]
    if words:
        raise NotByTable

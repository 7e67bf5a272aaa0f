"""Renders the help of a verb, a group and the whole command as plain text, from the declarations."""

from __future__ import annotations

import inspect
import textwrap
from typing import TYPE_CHECKING, Any

from relay.cli import declaring
from relay.cli.parsing import FLAG

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

WIDTH = 100
ON_ALL = ("json", "home", "help")
COMMON = (
    ("--json", "Print JSON: one document, or one object a line."),
    ("--home DIR", "The broker's folder (RELAY_HOME, else the platform's data folder)."),
    ("-h, --help", "Show this text."),
)
FOOT = """\
Every verb takes --json, --home DIR and --help (with examples), before or after its words.
A spawn is named by the first letters of its id, by its name, or by name@broker.

First steps:  relay demo        then:  relay init && relay up --detach
"""


def of_verb(key: str, command: Any) -> str:
    """The help of one verb: usage, what it does, words, options, examples."""
    words = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option" and each.name not in ON_ALL]
    usage = f"Usage: relay {key} {' '.join(map(_word, words))}".rstrip() + " [OPTIONS]"
    parts = [usage, _prose(command.help)]
    if words:
        parts.append("Words:\n" + _rows((each.metavar or each.name, each.help) for each in words))
    own = [(_option(key, each), each.help) for each in options]
    parts.append("Options:\n" + _rows([*own, *COMMON]))
    parts.append("Examples:\n" + "\n".join(f"  {line}" for line in declaring.EXAMPLES[key]))
    return "\n\n".join(parts) + "\n"


def of_group(key: str, about: str, inner: Mapping[str, str]) -> str:
    """The help of a word that stands before verbs, such as `trust`."""
    rows = _rows((f"relay {each}", first_sentence(text)) for each, text in inner.items())
    parts = [f"Usage: relay {key} VERB ...", _prose(about), f"Verbs:\n{rows}"]
    parts.append("Examples:\n" + "\n".join(f"  {declaring.EXAMPLES[each][0]}" for each in inner))
    return "\n\n".join(parts) + "\n"


def overview(about: str, helps: Mapping[str, str]) -> str:
    """The help of the whole command: every verb under its section."""
    parts = ["Usage: relay [OPTIONS] VERB ...", about]
    for section in dict.fromkeys(declaring.SECTIONS.values()):
        keys = [key for key, its in declaring.SECTIONS.items() if its == section]
        parts.append(f"{section}:\n" + _rows(((key, first_sentence(helps[key])) for key in keys), 14))
    return "\n\n".join([*parts, FOOT])


def first_sentence(text: str) -> str:
    """The first sentence of a help text, up to its first colon or semicolon."""
    start = inspect.cleandoc(text).split("\n\n")[0].replace("\n", " ")
    for end in (". ", ": ", "; "):
        start = start.split(end)[0]
    return start.rstrip(".") + "."


def _prose(text: str) -> str:
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(textwrap.fill(each.replace("\n", " "), WIDTH) for each in paragraphs)


def _word(word: Any) -> str:
    text = word.metavar or word.name.upper()
    return text if word.required or text.startswith("[") else f"[{text}]"


def _option(key: str, option: Any) -> str:
    flags = ", ".join(sorted([*option.opts, *option.secondary_opts], key=len))
    return flags if declaring.KINDS[key][option.name] == FLAG else f"{flags} {option.metavar}"


def _rows(rows: Iterable[tuple[str, str]], least: int = 0) -> str:
    listed = list(rows)
    column = max([least, *(len(left) for left, _ in listed)]) + 4
    folded = [textwrap.wrap(right, WIDTH - column) or [""] for _, right in listed]
    lines = [f"  {left}".ljust(column) + right[0] for (left, _), right in zip(listed, folded, strict=True)]
    more = [[" " * column + line for line in right[1:]] for right in folded]
    return "\n".join("\n".join([line, *rest]) for line, rest in zip(lines, more, strict=True))

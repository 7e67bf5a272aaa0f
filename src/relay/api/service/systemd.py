"""The unit of a systemd user service, written and read.

Quoting is that of systemd.syntax(7), specifiers those of systemd.unit(5), and `$` in a command line as in
systemd.service(5), "Command lines": `$$` is a dollar sign in an argument, while the program's own name is not expanded.
"""

from __future__ import annotations

import re
from functools import partial

from relay.api.service.definition import Definition, defined_by, short_name

MARK = "# Written by `relay service install`. To change it, type that again; to remove it: relay service uninstall."
RESTART_S = 5
START_LIMIT = 60
START_LIMIT_WITHIN_S = 3600
STOP_S = 30

_TEXT = """\
{mark}
[Unit]
Description={description}
StartLimitIntervalSec={within}
StartLimitBurst={limit}

[Service]
Type=exec
ExecStart={command}
Environment={environment}
KillMode=process
OOMPolicy=continue
Restart=on-failure
RestartSec={restart}
TimeoutStopSec={stop}

[Install]
WantedBy=default.target
"""
_ESCAPED = {"\\": "\\\\", '"': '\\"', "%": "%%", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_ESCAPE = re.compile(r'\\(?:([\\"ntr])|x([0-9a-f]{2}))|(%%)')
_MEANT = {"n": "\n", "t": "\t", "r": "\r"}
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"(?:\s+|$)')


def unit_name(home: str) -> str:
    """`relay.service` for the usual home, `relay-NAME-HASH.service` for another."""
    return "-".join(filter(None, ("relay", short_name(home)))) + ".service"


def fault(definition: Definition) -> str:
    """Why systemd could not run this definition, or an empty text."""
    if "$" in definition.python or not definition.python.isprintable():
        return "the path of its Python has a dollar sign or a control character in it, which no unit can carry"
    texts = (definition.home, definition.python, definition.path)
    if any("\0" in text or not _is_unicode(text) for text in texts):
        return "a path in it is not UTF-8, which no unit can carry"
    if not definition.path.isprintable():
        return "the PATH has a control character in it, which systemd refuses"
    return ""


def unit_text(definition: Definition) -> str:
    """The whole unit.

    Args:
        definition: one that `fault` has nothing to say about.
    """
    program, *rest = definition.words
    words = [quoted(program), *(quoted(word).replace("$", "$$") for word in rest)]
    return _TEXT.format(
        mark=MARK,
        description=_escape_percent(f"Relay broker, {_printable(definition.home)}"),
        within=START_LIMIT_WITHIN_S,
        limit=START_LIMIT,
        command=" ".join(words),
        environment=quoted(f"PATH={definition.path}"),
        restart=RESTART_S,
        stop=STOP_S,
    )


def read_unit(text: str) -> Definition | None:
    """The definition that `unit_text` wrote down, or None for a unit of another hand.

    Args:
        text: the unit's.
    """
    lines = text.split("\n")
    if lines[0] != MARK:
        return None
    commands = [line.partition("=")[2] for line in lines if line.startswith("ExecStart=")]
    settings = [line.partition("=")[2] for line in lines if line.startswith("Environment=")]
    if len(commands) != 1 or len(settings) != 1:
        return None
    words, variables = _words(commands[0]), _words(settings[0])
    if words is None or variables is None or len(variables) != 1 or not variables[0].startswith("PATH="):
        return None
    plain = (words[0], *(word.replace("$$", "$") for word in words[1:]))
    return defined_by(plain, variables[0].removeprefix("PATH="))


def quoted(word: str) -> str:
    """One word in double quotes, everything in it taken as it stands (but for `$`, which only command lines expand)."""
    return '"' + "".join(_ESCAPED.get(letter) or _plain(letter) for letter in word) + '"'


def _plain(letter: str) -> str:
    return f"\\x{ord(letter):02x}" if ord(letter) < 0x20 or ord(letter) == 0x7F else letter


def _words(line: str) -> list[str] | None:
    found, at = [], 0
    while at < len(line):
        match = _WORD.match(line, at)
        if match is None:
            return None
        found.append(_ESCAPE.sub(_unescaped, match[1]))
        at = match.end()
    return found or None


def _unescaped(match: re.Match[str]) -> str:
    letter, code, _ = match.groups()
    if code:
        return chr(int(code, 16))
    return _MEANT.get(letter, letter) if letter else "%"


def _printable(text: str) -> str:
    # a backslash at the end of a line would join the next one to it
    return "".join(letter if letter.isprintable() and letter != "\\" else "?" for letter in text)


_escape_percent = partial(re.compile("%").sub, "%%")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

"""The commands in a hint, as they have to be typed for this home: with `--home` where it is not the default one."""

from __future__ import annotations

import re

from relay.cli.surface import TABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.api.home import Home

_VERBS = "|".join(sorted({key.split()[0] for key in TABLE}))
_COMMAND = re.compile(rf"\brelay (?=(?:{_VERBS})\b)")
# what is to be typed on another machine: that one's home is not known here
_ELSEWHERE = re.compile(r"\bon [^:;]*: *$")


def for_home(hint: str, home: Home) -> str:
    """The hint with `--home` in each command that is meant for this machine.

    Args:
        hint: such as `relay ps --all`; what follows `on NAME:` is meant for another machine, up to the next `;`.
        home: whose commands they are.
    """
    if not home.given:
        return hint
    pieces = hint.split(";")
    return ";".join(piece if _is_elsewhere(piece) else _COMMAND.sub(home.command(""), piece) for piece in pieces)


def _is_elsewhere(piece: str) -> bool:
    found = _COMMAND.search(piece)
    return found is not None and _ELSEWHERE.search(piece[: found.start()]) is not None


def home_in(words: Sequence[str]) -> str | None:
    """What a command line says of `--home`, wherever it stands; None for nothing."""
    own = words[: words.index("--")] if "--" in words else words
    for at, word in enumerate(own):
        if word.startswith("--home="):
            return word.partition("=")[2]
        if word == "--home" and at + 1 < len(own):
            return own[at + 1]
    return None

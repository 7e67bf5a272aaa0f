"""`relay diff`."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from relay.cli import returns, speech
from relay.cli.clean import clean_lines

_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from relay.cli.invocation import Invocation


def run(invocation: Invocation, *, spawn: str, stat: bool) -> int:
    """Show what a spawn changed."""
    from relay.cli.progress import Shown
    from relay.git.returning import show

    with returns.returned(invocation, spawn) as (found, back, into):
        made = into / "diff"
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ and not invocation.json
        with made.open("wb") as file, Shown("comparing the two trees", quiet=invocation.json):
            show(back, Path.cwd(), into, stat, colour, file)
        text = made.read_bytes()
    if invocation.json:
        told: dict[str, Any] = {"id": found["id"], "name": found["name"], "branch": back.branch}
        told |= {"base": back.base, "tip": back.tip}
        told["diffstat"] = found["result"].get("diffstat") if found["result"] else None
        speech.document(told | {"diff": None if stat else text.decode("utf-8", "replace")})
    elif sys.stdout.isatty():
        speech.say(harmless(text.decode("utf-8", "replace")))
    else:
        speech.put_at_once(text)
    return 0


def harmless(text: str) -> str:
    """What another machine wrote must not steer the terminal: of all that could, colours alone are let through."""
    parts = _COLOUR.split(text)
    return "".join(part if at % 2 else clean_lines(part) for at, part in enumerate(parts)).rstrip("\n")
